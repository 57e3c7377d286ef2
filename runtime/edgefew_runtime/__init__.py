"""EdgeFew on the device: open a bundle, enroll new classes from a few examples, classify.

```python
from edgefew_runtime import Classifier

classifier = Classifier.open("signs.edgefew", gallery="site.gallery")
classifier.enroll("no entry", ["a.jpg", "b.jpg"])
answer = classifier.classify("frame.jpg")
print(answer, answer.probability)
```
"""

from .answer import Answer
from .bundle import Bundle
from .classifier import Added, Classifier, Enrollment
from .doctor import Diagnosis, ExampleReport, Finding
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
    RuntimeMissingError,
    SelfTestError,
    TrainingError,
    UnknownClassError,
)
from .gallery import EnrolledClass, EnrolledExample, Event, Example, Gallery, GalleryState, Task
from .leave_one_out import LeaveOneOut, leave_one_out
from .manifest import InputSpec, Manifest
from .migration import Migration, migrate
from .operating_point import CoveragePoint, OperatingPoint, Promise
from .selftest import Verdict, verify

__all__ = [
    "Added",
    "Answer",
    "Bundle",
    "BundleCorruptError",
    "BundleError",
    "BundleFormatError",
    "CheckpointError",
    "ClassConflictError",
    "Classifier",
    "CoveragePoint",
    "DataError",
    "Diagnosis",
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
    "InputSpec",
    "LabelError",
    "LeaveOneOut",
    "Manifest",
    "Migration",
    "MigrationError",
    "NothingToUndoError",
    "OperatingPoint",
    "Promise",
    "ProviderError",
    "RuntimeMissingError",
    "SelfTestError",
    "Task",
    "TrainingError",
    "UnknownClassError",
    "Verdict",
    "leave_one_out",
    "migrate",
    "verify",
]
