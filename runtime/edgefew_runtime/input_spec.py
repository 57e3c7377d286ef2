"""What a bundle's embed graph takes, by kind: images, signals, sounds or texts. JSON by `from_dict` and `to_dict`.

A kind says here how its frames are read and looked at. A new kind is one class more; the bundle's format stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .errors import BundleFormatError
from .frames import (
    IMAGE_SUFFIXES,
    SIGNAL_SUFFIXES,
    Frame,
    FrameLike,
    RawFrame,
    load_frame,
    load_image_file,
    load_pixels,
)
from .operating_point import is_number

if TYPE_CHECKING:
    from .frame_quality import FrameQuality
    from .signal_quality import SignalQuality
    from .sound_input import AudioInput
    from .sound_quality import SoundQuality
    from .text_input import TextInput
    from .text_quality import TextQuality

FITS = ("stretch", "crop", "letterbox")
"""How an image of another shape is made to fit."""

NORMALIZATIONS = ("window", "constant", "none")
"""How the values of a signal are normalised: see `SignalInput`."""

MAX_SAMPLES = 1 << 20
MAX_CHANNELS = 1024

_CAMERA = (480, 640)
_LONGER = 4


@dataclass(frozen=True, kw_only=True)
class InputSpec(ABC):
    """What the embed graph takes, and what it does to it first. For people and checks: the graph does it by itself.

    Attributes:
        kind: "image", "signal", "audio" or "text".
        dtype: of a raw frame, as numpy calls it.
        layout: the axes of a batch of raw frames.
        size: what a frame is brought to inside: height and width, or samples.
        resize: how.
        channels: as the backbone sees them.
        mean: subtracted, a number for each channel.
        std: then divided by, a number for each channel.
    """

    kind: str
    dtype: str
    layout: str
    size: tuple[int, ...]
    resize: str
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    noun: ClassVar[str]
    """What people call one frame."""

    variety: ClassVar[str]
    """Where examples that add something come from."""

    suffixes: ClassVar[frozenset[str]]
    """Of the files that hold such frames."""

    @property
    @abstractmethod
    def raw_shape(self) -> tuple[int, ...]:
        """The shape of a raw frame that needs no resizing; of others, only the last axis is the same."""

    @property
    @abstractmethod
    def larger_shape(self) -> tuple[int, ...]:
        """The shape of a raw frame as a camera or recorder may give it, to measure time with."""

    @property
    def network_shape(self) -> tuple[int, ...]:
        """The shape of a frame as the backbone sees it."""
        return (self.channels, *self.size)

    @abstractmethod
    def load(self, frame: FrameLike) -> Frame:
        """The frame as the graph takes it.

        Raises:
            FrameError: it cannot be read, or is of another kind, type or shape.
            RuntimeMissingError: a package that is needed to read it is not installed.
        """

    @abstractmethod
    def load_file(self, data: bytes, name: str) -> Frame:
        """A frame from a file's bytes, under the name that it has where it came from; errors as those of `load`."""

    def values(self, frame: FrameLike) -> RawFrame:
        """The frame's values alone, where nothing else of it is needed; errors as those of `load`."""
        return self.load(frame).values

    @abstractmethod
    def quality(self, values: RawFrame) -> FrameQuality | SignalQuality | SoundQuality | TextQuality:
        """What can be told of a raw frame without the network."""

    @abstractmethod
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> RawFrame:
        """A raw frame of random values."""

    def bound(self, read: Callable[[str], bytes]) -> InputSpec:
        """The same, with what it needs of the bundle's other files.

        Args:
            read: gives a file of the bundle; it raises KeyError where there is none.
        """
        return self

    def takes(self, values: RawFrame) -> bool:
        """Whether an array is a raw frame of this kind."""
        same_axes = values.ndim == len(self.raw_shape) and values.shape[-1] == self.raw_shape[-1]
        return values.dtype == np.dtype(self.dtype) and same_axes

    @staticmethod
    def image(
        size: int | tuple[int, int],
        channels: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        fit: str = "stretch",
        order: str = "RGB",
    ) -> ImageInput:
        """The specification of an image of a height and width; a square one for a single number."""
        return ImageInput(
            kind="image",
            dtype="uint8",
            layout="NHWC",
            size=(size, size) if isinstance(size, int) else size,
            resize="bilinear-antialias",
            channels=channels,
            mean=mean,
            std=std,
            color="RGB",
            fit=fit,
            order=order,
        )

    @staticmethod
    def signal(
        samples: int,
        channels: int,
        normalize: str = "window",
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        *,
        seconds: float | None = None,
    ) -> SignalInput:
        """The specification of a signal of so many samples."""
        return SignalInput(
            kind="signal",
            dtype="float32",
            layout="NSC",
            size=(samples,),
            resize="linear-antialias",
            channels=channels,
            mean=mean,
            std=std,
            normalize=normalize,
            seconds=seconds,
        )

    @staticmethod
    def audio(samples: int, rate: int, bands: int = 40) -> AudioInput:
        """The specification of a sound of so many samples; of a log-mel spectrogram, or with 0 bands as it is."""
        from .sound_input import AudioInput

        return AudioInput(
            kind="audio",
            dtype="float32",
            layout="NS",
            size=(samples,),
            resize="centre",
            channels=1,
            mean=(),
            std=(),
            rate=rate,
            bands=bands,
        )

    @staticmethod
    def text(tokens: int, vocabulary: int, unknown: int) -> TextInput:
        """The specification of a text of usually so many tokens, of a vocabulary of so many."""
        from .text_input import TextInput

        return TextInput(
            kind="text",
            dtype="int64",
            layout="NT",
            size=(tokens,),
            resize="none",
            channels=1,
            mean=(),
            std=(),
            vocabulary=vocabulary,
            unknown=unknown,
        )

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> InputSpec:
        """From the manifest's JSON.

        Raises:
            BundleFormatError: this version knows no such kind.
            KeyError, TypeError, ValueError: a key is missing, unknown or wrong.
        """
        from .sound_input import AudioInput  # it is an InputSpec
        from .text_input import TextInput

        kinds: Mapping[str, Callable[..., InputSpec]] = {
            "image": ImageInput,
            "signal": SignalInput,
            "audio": AudioInput,
            "text": TextInput,
        }
        kind = data["kind"]
        if not isinstance(kind, str) or kind not in kinds:
            raise BundleFormatError(
                f"The bundle takes inputs of kind {kind!r}; this version of edgefew-runtime knows {', '.join(kinds)}. "
                "Upgrade edgefew-runtime."
            )
        listed = {name: tuple(data[name]) for name in ("size", "mean", "std")}
        return kinds[kind](**{**data, **listed})

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ImageInput(InputSpec):
    """An image: uint8 [H, W, 3], any height and width. The backbone sees (value / 255 - mean) / std.

    Attributes:
        color: "RGB": what a caller gives.
        fit: how it is brought to the size: one of `FITS`. "stretch" does not keep the aspect ratio, "crop" keeps the
            middle, "letterbox" keeps all and puts grey bars beside it.
        order: "RGB" or "BGR", in which the backbone sees three channels; with one it sees grey, ITU-R 601 luma.
    """

    color: str
    fit: str
    order: str = "RGB"

    noun = "picture"
    variety = "sides, days and lights"
    suffixes = IMAGE_SUFFIXES

    def __post_init__(self) -> None:
        if (self.dtype, self.layout) != ("uint8", "NHWC"):
            raise ValueError(f"an image of {self.dtype!r} in {self.layout!r}")
        if self.fit not in FITS or self.order not in ("RGB", "BGR"):
            raise ValueError(f"an input with the fit {self.fit!r} and the order {self.order!r}")
        if len(self.size) != 2 or not all(isinstance(side, int) for side in self.size):
            raise ValueError(f"an input of the size {self.size}")

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Height, width and the three colours."""
        return (*self.size, 3)

    @property
    def larger_shape(self) -> tuple[int, ...]:
        """That of a small camera."""
        return (*_CAMERA, 3)

    def load(self, frame: FrameLike) -> Frame:
        """The frame as pixels."""
        return load_frame(frame)

    def load_file(self, data: bytes, name: str) -> Frame:
        """The picture in a file's bytes."""
        return load_image_file(data, name)

    values = staticmethod(load_pixels)

    def quality(self, values: RawFrame) -> FrameQuality:
        """Size, light, contrast and blur."""
        from .frame_quality import frame_quality

        return frame_quality(values)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> RawFrame:
        """Pixels of random colours."""
        return rng.integers(0, 256, shape, np.uint8)


@dataclass(frozen=True, kw_only=True)
class SignalInput(InputSpec):
    """A window of a signal: float32 [samples, channels], any number of samples.

    A window is stretched to the size, whatever its rate: what counts is that all windows last as long.

    Attributes:
        normalize: "window": each channel of each window to mean 0 and deviation 1; "constant": (value - mean) / std;
            "none".
        seconds: how long a window lasts, if that was said; for people.
    """

    normalize: str
    seconds: float | None = None

    noun = "window"
    variety = "days, sensors and conditions"
    suffixes = SIGNAL_SUFFIXES

    def __post_init__(self) -> None:
        if (self.dtype, self.layout) != ("float32", "NSC"):
            raise ValueError(f"a signal of {self.dtype!r} in {self.layout!r}")
        counts = (*self.size, self.channels)
        if len(self.size) != 1 or not all(isinstance(n, int) and not isinstance(n, bool) for n in counts):
            raise ValueError(f"a signal of the size {self.size} with {self.channels!r} channels")
        if not (1 < self.size[0] <= MAX_SAMPLES and 0 < self.channels <= MAX_CHANNELS):
            raise ValueError(f"a signal of {self.size[0]} samples and {self.channels} channels")
        if self.normalize not in NORMALIZATIONS:
            raise ValueError(f"a signal with the normalisation {self.normalize!r}")
        expected = self.channels if self.normalize == "constant" else 0
        numbers = all(is_number(value) for value in (*self.mean, *self.std))
        if not numbers or len(self.mean) != expected or len(self.std) != expected or min(self.std, default=1) <= 0:
            raise ValueError(f"a signal normalised by {self.normalize!r} with mean {self.mean} and std {self.std}")
        if self.seconds is not None and not (is_number(self.seconds) and self.seconds > 0):
            raise ValueError(f"windows of {self.seconds!r} seconds")

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Samples and channels."""
        return (*self.size, self.channels)

    @property
    def larger_shape(self) -> tuple[int, ...]:
        """A window of a higher rate."""
        return (_LONGER * self.size[0], self.channels)

    def load(self, frame: FrameLike) -> Frame:
        """The frame as samples, with the channels that the bundle takes."""
        from .signals import load_signal

        return load_signal(frame, self.channels)

    def load_file(self, data: bytes, name: str) -> Frame:
        """The window in a file's bytes."""
        from .signals import load_signal

        return load_signal(data, self.channels, name)

    def quality(self, values: RawFrame) -> SignalQuality:
        """Length, flat channels and clipping."""
        from .signal_quality import signal_quality

        return signal_quality(values)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> RawFrame:
        """Normal noise."""
        return rng.standard_normal(shape, np.float32)
