"""EdgeFew on the device: open a bundle, enroll new classes from a few examples, classify.

```python
from edgefew_runtime import Classifier

classifier = Classifier.open("signs.edgefew", gallery="site.gallery")
classifier.enroll("no entry", ["a.jpg", "b.jpg"])
answer = classifier.classify("frame.jpg")
print(answer, answer.probability)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .answer import Answer
from .bundle import Bundle
from .classifier import Added, Classifier, Enrollment, Refined, Rejection
from .errors import (
    BundleCorruptError,
    BundleError,
    BundleFormatError,
    CheckpointError,
    ClassConflictError,
    DataError,
    EdgeFewError,
    EnrollmentRefusedError,
    ExportError,
    FrameError,
    GalleryBusyError,
    GalleryError,
    GalleryFormatError,
    GalleryLockedError,
    GalleryMismatchError,
    LabelError,
    MigrationError,
    NothingToUndoError,
    ProviderError,
    RefinementError,
    RuntimeMissingError,
    SelfTestError,
    SignatureError,
    SourceError,
    TrainingError,
    UnknownClassError,
)
from .gallery import EnrolledClass, EnrolledExample, Event, Example, Gallery, GalleryState, Merged, Task
from .input_spec import ImageInput, InputSpec, SignalInput
from .manifest import Manifest
from .operating_point import CoveragePoint, OperatingPoint, Promise

if TYPE_CHECKING:
    from .consensus import Consensus, TrackAnswer, track_answer
    from .doctor import Diagnosis, ExampleReport, Finding
    from .drift import DriftStatus, DriftWatch, UnknownWatch
    from .leave_one_out import LeaveOneOut
    from .migration import Migration, migrate
    from .selftest import Verdict, verify
    from .sound_input import AudioInput

__all__ = [
    "Added",
    "Answer",
    "AudioInput",
    "Bundle",
    "BundleCorruptError",
    "BundleError",
    "BundleFormatError",
    "CheckpointError",
    "ClassConflictError",
    "Classifier",
    "Consensus",
    "CoveragePoint",
    "DataError",
    "Diagnosis",
    "DriftStatus",
    "DriftWatch",
    "EdgeFewError",
    "EnrolledClass",
    "EnrolledExample",
    "Enrollment",
    "EnrollmentRefusedError",
    "Event",
    "Example",
    "ExampleReport",
    "ExportError",
    "Finding",
    "FrameError",
    "Gallery",
    "GalleryBusyError",
    "GalleryError",
    "GalleryFormatError",
    "GalleryLockedError",
    "GalleryMismatchError",
    "GalleryState",
    "ImageInput",
    "InputSpec",
    "LabelError",
    "LeaveOneOut",
    "Manifest",
    "Merged",
    "Migration",
    "MigrationError",
    "NothingToUndoError",
    "OperatingPoint",
    "Promise",
    "ProviderError",
    "Refined",
    "RefinementError",
    "Rejection",
    "RuntimeMissingError",
    "SelfTestError",
    "SignalInput",
    "SignatureError",
    "SourceError",
    "Task",
    "TrackAnswer",
    "TrainingError",
    "UnknownClassError",
    "UnknownWatch",
    "Verdict",
    "migrate",
    "track_answer",
    "verify",
]

_LAZY = {
    "AudioInput": "sound_input",
    "Consensus": "consensus",
    "Diagnosis": "doctor",
    "DriftStatus": "drift",
    "DriftWatch": "drift",
    "ExampleReport": "doctor",
    "Finding": "doctor",
    "LeaveOneOut": "leave_one_out",
    "Migration": "migration",
    "TrackAnswer": "consensus",
    "UnknownWatch": "drift",
    "Verdict": "selftest",
    "migrate": "migration",
    "track_answer": "consensus",
    "verify": "selftest",
}
"""Names that a program which only classifies does not need: their modules are loaded when they are asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
