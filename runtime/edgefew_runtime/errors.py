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
    │   └── SelfTestError         it is intact but does not compute here what it computed when exported
    ├── GalleryError          a gallery that cannot be used
    │   ├── GalleryFormatError    the file is not a gallery, or is damaged
    │   ├── GalleryMismatchError  the gallery was made with another bundle
    │   ├── GalleryBusyError      another process held the gallery's lock for too long
    │   ├── UnknownClassError     the gallery has no such class or example
    │   ├── ClassConflictError    a name or an example is taken by another class; nothing was overwritten
    │   ├── GalleryLockedError    the gallery is locked and the pass-phrase is missing or wrong
    │   └── NothingToUndoError    every operation is undone already, or the last one cannot be
    ├── DataError             a labelled folder that cannot be used as asked
    ├── CheckpointError       a checkpoint that cannot be read
    ├── TrainingError         training that cannot go on as asked
    └── ExportError           an export that did not pass its own proof; no bundle was written

Each message says what was seen, what was expected, and what to do.
"""

from __future__ import annotations


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


class NothingToUndoError(GalleryError):
    """Every operation is undone already, or the last one cannot be."""


class DataError(EdgeFewError):
    """A labelled folder cannot be used as asked."""


class CheckpointError(EdgeFewError):
    """A checkpoint cannot be read."""


class TrainingError(EdgeFewError):
    """Training cannot go on as asked."""


class ExportError(EdgeFewError):
    """An export did not pass its own proof; no bundle was written."""
