"""Every error that EdgeFew raises on purpose, as one tree.

::

    EdgeFewError
    ├── FrameError            a frame that cannot be read or has the wrong type or shape
    ├── LabelError            a class name that cannot be used
    ├── RuntimeMissingError   no onnxruntime, or an optional package that this call needs, is installed
    ├── ProviderError         the execution provider asked for is not there
    ├── BundleError           a bundle that cannot be opened
    │   ├── BundleFormatError     it is not a bundle, or one of a format that this version does not read
    │   ├── BundleCorruptError    its bytes are not the bytes that were exported
    │   ├── SignatureError        it is not signed for the public key set here, or the key cannot be used
    │   └── SelfTestError         it is intact but does not compute here what it computed when exported
    ├── GalleryError          a gallery that cannot be used
    │   ├── GalleryFormatError    the file is not a gallery, or is damaged
    │   ├── GalleryMismatchError  the gallery was made with another bundle
    │   ├── GalleryBusyError      another process held the gallery's lock for too long
    │   ├── UnknownClassError     the gallery has no such class or example
    │   ├── ClassConflictError    a name or an example is taken by another class; nothing was overwritten
    │   ├── GalleryLockedError    the gallery is locked and the pass-phrase is missing or wrong
    │   ├── MigrationError        a gallery that cannot be taken over by a new bundle; nothing was written
    │   └── NothingToUndoError    every operation is undone already, or the last one cannot be
    ├── RefinementError       unlabelled frames cannot refine anything here; nothing was kept
    ├── EnrollmentRefusedError  something looks wrong with an example, and strict enrolment was asked for
    ├── DataError             a labelled folder that cannot be used as asked
    ├── CheckpointError       a checkpoint that cannot be read
    ├── TrainingError         training that cannot go on as asked
    └── ExportError           an export that did not pass its own proof; no bundle was written
        └── SourceError           a network that cannot be exported, or does not give one vector for each frame

Each message says what was seen, what was expected, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .doctor import Diagnosis


class EdgeFewError(Exception):
    """Any error that EdgeFew raises on purpose."""


class FrameError(EdgeFewError):
    """A frame cannot be read, or has the wrong type or shape."""


class LabelError(EdgeFewError):
    """A class name cannot be used."""


class RuntimeMissingError(EdgeFewError):
    """No onnxruntime, or an optional package that this call needs, is installed."""


class ProviderError(EdgeFewError):
    """The execution provider that was asked for is not there."""


class BundleError(EdgeFewError):
    """A bundle cannot be opened."""


class BundleFormatError(BundleError):
    """It is not a bundle, or one of a format that this version does not read."""


class BundleCorruptError(BundleError):
    """A bundle's bytes are not the bytes that were exported."""


class SignatureError(BundleError):
    """A bundle is not signed for the public key that is set here, or a key cannot be used."""


class SelfTestError(BundleError):
    """A bundle is intact but does not compute here what it computed when it was exported."""


class GalleryError(EdgeFewError):
    """A gallery cannot be used."""


class GalleryFormatError(GalleryError):
    """The file is not a gallery, or is damaged."""


class GalleryMismatchError(GalleryError):
    """The gallery was made with another bundle."""


class GalleryBusyError(GalleryError):
    """Another process held the gallery's lock for too long."""


class UnknownClassError(GalleryError):
    """The gallery has no such class or example."""


class ClassConflictError(GalleryError):
    """A name or an example is taken by another class; nothing was overwritten."""


class GalleryLockedError(GalleryError):
    """The gallery is locked and the pass-phrase is missing or wrong."""


class MigrationError(GalleryError):
    """A gallery cannot be taken over by a new bundle; nothing was written."""


class NothingToUndoError(GalleryError):
    """Every operation is undone already, or the last one cannot be."""


class RefinementError(EdgeFewError):
    """Unlabelled frames cannot refine anything here; nothing was kept."""


class EnrollmentRefusedError(EdgeFewError):
    """Something looks wrong with an example, and strict enrolment was asked for; nothing was enrolled.

    Attributes:
        diagnosis: what the enrolment doctor found.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis
        bad = [report for report in diagnosis.examples if report.findings]
        told = "; ".join(f"{report.name}: {report.findings[0].text}" for report in bad[:3])
        more = f" … and {len(bad) - 3} more" if len(bad) > 3 else ""
        super().__init__(
            f"Nothing was enrolled, because strict enrolment was asked for and something looks wrong: {told}{more}. "
            "Leave these out, or enroll without strict."
        )


class DataError(EdgeFewError):
    """A labelled folder cannot be used as asked."""


class CheckpointError(EdgeFewError):
    """A checkpoint cannot be read."""


class TrainingError(EdgeFewError):
    """Training cannot go on as asked."""


class ExportError(EdgeFewError):
    """An export did not pass its own proof; no bundle was written."""


class SourceError(ExportError):
    """A network cannot be exported: it is not there, or does not give one vector for each frame."""
