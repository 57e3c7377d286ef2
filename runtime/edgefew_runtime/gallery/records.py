"""The records that cross the gallery's border."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import LabelError
from ..head import Embeddings, Sums

MAX_LABEL = 200
"""Characters in a class's name."""

UNLABELLED = ""
"""Under this name, which no class can have, stands what was given to refine with; it is in no sum."""

_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Example:
    """One support embedding to enroll.

    Attributes:
        embedding: float32 [d], unit length, on the grid (`head.to_grid`).
        source: the file's name, or what else tells a person where it came from.
        source_sha256: hash of what was given; the same source is not counted twice in a class.
        negative: in no sum: rejected, which is what the class is not; a stranger, which is of no class; or unlabelled,
            which may be of any.
        frame: the picture itself (`kept_frames.pack`), if it is to be kept.
    """

    embedding: npt.NDArray[np.float32]
    source: str
    source_sha256: str
    negative: bool = False
    frame: bytes | None = None


@dataclass(frozen=True)
class Stored:
    """What became of examples that were given to a gallery.

    Attributes:
        new: for each whether it was added, or was there already.
        frames_added: of how many that were there already without their frame it is kept now.
    """

    new: tuple[bool, ...]
    frames_added: int


@dataclass(frozen=True)
class EnrolledClass:
    """A class in the gallery.

    Attributes:
        label: its name.
        examples: how many it has.
        enrolled_at: when the first of them was enrolled (UTC).
        rejected: how many examples of what it is not it has.
    """

    label: str
    examples: int
    enrolled_at: str
    rejected: int

    def to_dict(self) -> dict[str, str | int]:
        """As a line of `edgefew classes --json`."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class EnrolledExample:
    """An example in the gallery.

    Attributes:
        id: its number.
        label: its class; None for a stranger, which was given to calibrate with; `UNLABELLED` for what was given to
            refine with.
        source: where it came from.
        source_sha256: hash of what was given.
        enrolled_at: when (UTC).
        rejected: whether it is of what the class is not.
        frame_kept: whether the picture itself is in the gallery.
    """

    id: int
    label: str | None
    source: str
    source_sha256: str
    enrolled_at: str
    rejected: bool
    frame_kept: bool

    def to_dict(self) -> dict[str, str | int | bool | None]:
        """As a line of `edgefew examples --json`."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Merged:
    """What a merge added.

    Attributes:
        added: of each class that grew, how many examples were new to it.
        strangers: how many strangers were new.
        rejected: of each class of which it is known better what it is not, how many of these pictures were new.
        unlabelled: how many of what was given to refine with were new.
    """

    added: dict[str, int]
    strangers: int
    rejected: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0

    def to_dict(self) -> dict[str, dict[str, int] | int]:
        """As `edgefew merge --json` prints it."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class GalleryState:
    """The task that the gallery defines, as a host in any language keeps it.

    Attributes:
        labels: `c` names.
        sums: float64 [c, d], exact sums of each class's embeddings.
        counts: int64 [c].
    """

    labels: tuple[str, ...]
    sums: Sums
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unlabelled:
    """Embeddings to refine prototypes with, and what these are made of.

    Attributes:
        embeddings: float32 [u, d], in an order of their own, not that in which they came; without those whose picture
            is enrolled in a class meanwhile.
        sums: float32 [c, d], of each class's embeddings.
    """

    embeddings: Embeddings
    sums: Embeddings


@dataclass(frozen=True)
class Task:
    """The task that the gallery defines, ready to classify with.

    Attributes:
        labels: `c` names.
        prototypes: float32 [c, d], unit rows; zeros for a class whose examples cancel out.
        counts: int64 [c], examples of each.
        rejected: for each class (by index) that has rejected examples: its own [k, d] and the rejected ones [m, d].
        strangers: float32 [s, d], embeddings of what is of no class, given to calibrate with.
        stranger_ids: `s` numbers of the examples that they are; empty where the strangers come from no gallery.
        unlabelled: what there is to refine the prototypes with; None where there is nothing.
    """

    labels: tuple[str, ...]
    prototypes: Embeddings
    counts: npt.NDArray[np.int64]
    rejected: Mapping[int, tuple[Embeddings, Embeddings]]
    strangers: Embeddings
    stranger_ids: tuple[int, ...] = ()
    unlabelled: Unlabelled | None = None

    @property
    def shots(self) -> tuple[int, int]:
        """The fewest and the most examples that a class has; 1 and 1 where there is no class."""
        return (int(self.counts.min()), int(self.counts.max())) if len(self.counts) else (1, 1)


def check_label(label: str) -> str:
    """The class name as it is stored: without blanks around it, and with one code for each letter (Unicode's NFC).

    Raises:
        LabelError: it is empty, over `MAX_LABEL` characters, or has characters that cannot be shown.
    """
    if not isinstance(label, str):
        raise LabelError(f"A class name of type {type(label).__name__} was given; text was expected.")
    label = label.strip()
    # The same word typed on two keyboards is one class. At most four codes become one.
    if len(label) <= 4 * MAX_LABEL:
        label = unicodedata.normalize("NFC", label)
    if not label:
        raise LabelError("The class name is empty. Give a name.")
    if len(label) > MAX_LABEL:
        raise LabelError(f"The class name has over {MAX_LABEL} characters. Give a shorter one.")
    if not all(c.isprintable() or _joins(label, i) for i, c in enumerate(label)):
        raise LabelError(f"The class name {label!r} has characters that cannot be shown. Use printable ones.")
    return label


def _joins(label: str, place: int) -> bool:
    """Whether the character joins its neighbours, or keeps them apart, as Persian and Indic words and emoji need it.

    Not among ASCII: there it would be invisible, and make two names of one.
    """
    neighbours = label[place - 1 : place] + label[place + 1 : place + 2]
    return (
        label[place] in _JOINERS and len(neighbours) == 2 and not any(c.isascii() or c in _JOINERS for c in neighbours)
    )
