"""The classes enrolled on one device, in one SQLite file.

`records` what crosses the border, `reading` the questions, `store` the operations, `changes` what each does inside its
transaction, `queries` what they ask, `merging` what two galleries make, `locking` the pass-phrase, `kept_frames` the
pictures; below them `database` the file, `events` the log, `audit` its check.
"""

from .events import Event
from .kept_frames import pack as pack_frame
from .kept_frames import unpack as unpack_frame
from .records import EnrolledClass, EnrolledExample, Example, GalleryState, Merged, Stored, Task
from .store import Gallery

__all__ = [
    "EnrolledClass",
    "EnrolledExample",
    "Event",
    "Example",
    "Gallery",
    "GalleryState",
    "Merged",
    "Stored",
    "Task",
    "pack_frame",
    "unpack_frame",
]
