"""What an embed graph of sounds takes: recordings of one channel at the bundle's rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .frames import SOUND_SUFFIXES, Frame, FrameLike, RawFrame
from .input_spec import InputSpec

if TYPE_CHECKING:
    from .sound_quality import SoundQuality

MAX_SAMPLES = 1 << 20
MAX_BANDS = 256

_HOPS_A_SECOND, _HOPS_A_FRAME = 100, 3


@dataclass(frozen=True, kw_only=True)
class AudioInput(InputSpec):
    """A recording: float32 [samples] at the rate, from -1 to 1, any number of samples.

    The graph takes the middle of a longer one, and puts silence before and after a shorter one. How loud it is does not
    count. The backbone sees a log-mel spectrogram, or the samples themselves.

    Attributes:
        rate: samples a second.
        bands: of the mel spectrogram (frames of 30 ms, every 10 ms); 0 where the backbone sees the samples.
    """

    rate: int
    bands: int

    noun = "recording"
    variety = "speakers, days and rooms"
    suffixes = SOUND_SUFFIXES

    def __post_init__(self) -> None:
        if (self.dtype, self.layout, self.channels) != ("float32", "NS", 1) or self.mean or self.std:
            raise ValueError(f"a sound of {self.dtype!r} in {self.layout!r} with {self.channels!r} channels")
        numbers = (*self.size, self.rate, self.bands)
        if len(self.size) != 1 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            raise ValueError(f"a sound of the size {self.size} at {self.rate!r} Hz in {self.bands!r} bands")
        if not (1_000 <= self.rate <= 192_000 and 1 < self.size[0] <= MAX_SAMPLES and 0 <= self.bands <= MAX_BANDS):
            raise ValueError(f"a sound of {self.size[0]} samples at {self.rate} Hz in {self.bands} bands")
        if self.bands and (self.rate % _HOPS_A_SECOND or self.size[0] % self.hop or self.spectra < 1):
            raise ValueError(f"a spectrogram of {self.size[0]} samples at {self.rate} Hz, which are no whole 10 ms")

    @property
    def seconds(self) -> float:
        """How long the window lasts that the network sees."""
        return self.size[0] / self.rate

    @property
    def hop(self) -> int:
        """Samples from one spectrum to the next: 10 ms."""
        return self.rate // _HOPS_A_SECOND

    @property
    def frame(self) -> int:
        """Samples of one spectrum: 30 ms."""
        return _HOPS_A_FRAME * self.hop

    @property
    def spectra(self) -> int:
        """How many spectra a window has."""
        return self.size[0] // self.hop - _HOPS_A_FRAME + 1

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """The samples of a window."""
        return self.size

    @property
    def larger_shape(self) -> tuple[int, ...]:
        """A recording of four windows."""
        return (4 * self.size[0],)

    @property
    def network_shape(self) -> tuple[int, ...]:
        """One channel of bands and spectra, or of samples."""
        return (1, self.bands, self.spectra) if self.bands else (1, *self.size)

    def load(self, frame: FrameLike) -> Frame:
        """The recording as samples at the rate."""
        from .sounds import load_sound

        return load_sound(frame, self.rate)

    def load_file(self, data: bytes, name: str) -> Frame:
        """The recording in a file's bytes."""
        from .sounds import load_sound

        return load_sound(data, self.rate, name)

    def takes(self, values: RawFrame) -> bool:
        """Whether an array is float32 [samples]."""
        return values.dtype == np.float32 and values.ndim == 1

    def quality(self, values: RawFrame) -> SoundQuality:
        """Length, loudness and clipping."""
        from .sound_quality import sound_quality

        return sound_quality(values)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> RawFrame:
        """White noise."""
        return 0.1 * rng.standard_normal(shape, np.float32)
