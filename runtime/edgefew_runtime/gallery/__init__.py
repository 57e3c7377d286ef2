"""The classes enrolled on one device, in one SQLite file.

`records` what crosses the border, `store` the operations, `locking` the pass-phrase; below them `database`
the file, `events` the log, `audit` its check.
"""

from .events import Event
from .records import EnrolledClass, EnrolledExample, Example, GalleryState
from .store import Gallery

__all__ = ["EnrolledClass", "EnrolledExample", "Event", "Example", "Gallery", "GalleryState"]
