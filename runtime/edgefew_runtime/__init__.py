"""EdgeFew on the device: open a bundle, enroll new classes from a few examples, classify.

```python
from edgefew_runtime import Classifier

classifier = Classifier.open("signs.edgefew", gallery="site.gallery")
classifier.enroll("no entry", ["a.jpg", "b.jpg"])
answer = classifier.classify("frame.jpg")
print(answer, answer.probability)
```
"""

from .bundle import Bundle
from .classifier import Answer, Classifier, Enrollment
from .errors import (
    BundleCorruptError,
    BundleError,
    BundleFormatError,
    CheckpointError,
    ClassConflictError,
    DataError,
    EdgeFewError,
    ExportError,
    FrameError,
    GalleryBusyError,
    GalleryError,
    GalleryFormatError,
    GalleryLockedError,
    GalleryMismatchError,
    LabelError,
    NothingToUndoError,
    ProviderError,
    RuntimeMissingError,
    SelfTestError,
    TrainingError,
    UnknownClassError,
)
from .gallery import EnrolledClass, EnrolledExample, Event, Example, Gallery, GalleryState
from .manifest import InputSpec, Manifest, OperatingPoint
from .selftest import Verdict, verify

__all__ = [
    "Answer",
    "Bundle",
    "BundleCorruptError",
    "BundleError",
    "BundleFormatError",
    "CheckpointError",
    "ClassConflictError",
    "Classifier",
    "DataError",
    "EdgeFewError",
    "EnrolledClass",
    "EnrolledExample",
    "Enrollment",
    "Event",
    "Example",
    "ExportError",
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
    "Manifest",
    "NothingToUndoError",
    "OperatingPoint",
    "ProviderError",
    "RuntimeMissingError",
    "SelfTestError",
    "TrainingError",
    "UnknownClassError",
    "Verdict",
    "verify",
]
