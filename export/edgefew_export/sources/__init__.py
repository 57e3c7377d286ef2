"""Where a network comes from. Each kind has a file here; all come down to a `Source`.

A checkpoint of `edgefew train`, `efficientnet_lite0` with ImageNet weights, `speech_embedding`,
`sentence_encoder`, `timm:NAME`,
`module:factory` for any PyTorch network, or an ONNX file that embeds already.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgefew_runtime import AudioInput, ImageInput, InputSpec, SignalInput, SourceError

if TYPE_CHECKING:
    from .source import Source  # and with it torch, which the command's help does not need

SCALINGS = {
    "unit": ((0.0,), (1.0,)),
    "symmetric": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((0.0,), (1 / 255,)),
}
"""By name what is subtracted from value / 255, and what the rest is divided by: to 0…1, to −1…1, to ImageNet's mean and
deviation, or left at 0…255.
"""


@dataclass(frozen=True)
class DeclaredInput:
    """What the user says of a network's images; None for what is left to the source.

    Attributes:
        size: height and width.
        channels: 1 or 3.
        scaling: a name of `SCALINGS`.
        fit: a name of `FITS`.
        order: "RGB" or "BGR".
    """

    kind: ClassVar[str] = "image"

    size: tuple[int, int] | None = None
    channels: int | None = None
    scaling: str | None = None
    fit: str | None = None
    order: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return self == DeclaredInput()

    def spec(self, size: tuple[int, int] | None = None, scaling: str | None = None) -> ImageInput:
        """The specification, with these values for what was not said.

        Raises:
            SourceError: the size or the scaling is known neither from the user nor from the source, or does not fit.
        """
        size, scaling = self.size or size, self.scaling or scaling
        if size is None or scaling is None:
            missing = " and ".join(
                name for name, value in (("--image-size", size), ("--scaling", scaling)) if value is None
            )
            raise SourceError(
                f"{missing} must be given for this source: they are not known from it, and a wrong guess costs "
                "accuracy in silence."
            )
        channels = self.channels or 3
        mean, std = SCALINGS[scaling]
        if len(mean) > channels:
            raise SourceError(f"The scaling {scaling!r} is for 3 channels; the network takes {channels}.")
        if channels == 1 and self.order == "BGR":
            raise SourceError("A grey network has no order of colours. Leave out --order.")
        each = (mean * channels)[:channels], (std * channels)[:channels]
        return InputSpec.image(size, channels, *each, fit=self.fit or "stretch", order=self.order or "RGB")


@dataclass(frozen=True)
class DeclaredSignal:
    """What the user says of a network's signals; None for what is left to the source.

    Attributes:
        samples: how many the network takes.
        channels: how many.
        normalize: a name of `NORMALIZATIONS`.
        mean: for "constant", a number for each channel.
        std: likewise.
        seconds: how long a window lasts.
    """

    kind: ClassVar[str] = "signal"

    samples: int | None = None
    channels: int | None = None
    normalize: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    seconds: float | None = None

    def spec(self, samples: int | None = None, channels: int | None = None) -> SignalInput:
        """The specification, with these values for what was not said.

        Raises:
            SourceError: something is known neither from the user nor from the source, or does not fit.
        """
        samples, channels, normalize = self.samples or samples, self.channels or channels, self.normalize
        if samples is None or channels is None or normalize is None:
            said = {"--samples": samples, "--channels": channels, "--normalize": normalize}
            raise SourceError(
                f"{', '.join(name for name, value in said.items() if value is None)} must be given for this source: a "
                "wrong guess costs accuracy in silence."
            )
        try:
            return InputSpec.signal(samples, channels, normalize, self.mean or (), self.std or (), seconds=self.seconds)
        except ValueError:
            raise SourceError(
                f"{samples} samples, {channels} channels, --normalize {normalize}, --mean {_listed(self.mean)}, --std "
                f"{_listed(self.std)} do not fit: at least 2 samples; constant takes a --mean and a --std above 0 for "
                "each channel, window and none take neither."
            ) from None


@dataclass(frozen=True)
class DeclaredSound:
    """What the user says of a network's sounds.

    Attributes:
        rate: samples a second.
        seconds: how much the network hears.
        bands: of the log-mel spectrogram that it takes, float32 [n, 1, bands, spectra]; 0 for samples, [n, 1, samples].
    """

    kind: ClassVar[str] = "audio"

    rate: int | None = None
    seconds: float | None = None
    bands: int | None = None

    def spec(self) -> AudioInput:
        """The specification.

        Raises:
            SourceError: something was not said, or does not fit.
        """
        if self.rate is None or self.seconds is None or self.bands is None:
            said = {"--rate": self.rate, "--seconds": self.seconds, "--bands": self.bands}
            raise SourceError(
                f"{', '.join(name for name, value in said.items() if value is None)} must be given for this source: a "
                "wrong guess costs accuracy in silence."
            )
        try:
            return InputSpec.audio(round(self.seconds * self.rate), self.rate, self.bands)
        except ValueError as error:
            raise SourceError(
                f"--rate {self.rate}, --seconds {self.seconds:g} and --bands {self.bands} do not fit ({error}): a "
                "spectrogram takes a multiple of 100 Hz and of 0.01 s."
            ) from None


def _listed(values: tuple[float, ...] | None) -> str:
    return "not given" if values is None else ",".join(f"{value:g}" for value in values)


Declared = DeclaredInput | DeclaredSignal | DeclaredSound


def open_source(name: str, declared: Declared, weights: Path | None = None) -> Source:
    """The source of a name as the command line has it.

    Args:
        name: a checkpoint's path, an ONNX file's path, `efficientnet_lite0`, `speech_embedding`,
            `sentence_encoder`, `timm:NAME` or `module:factory`.
        declared: what is said of its input.
        weights: a safetensors file to load into the network.

    Raises:
        SourceError: there is no such source, or it cannot be exported.
        CheckpointError: a checkpoint cannot be read.
    """
    path = Path(name)
    image = declared if isinstance(declared, DeclaredInput) else None
    if path.suffix == ".onnx":
        from .onnx_file import onnx_source

        _refuse(weights is not None, name, "--weights")
        return onnx_source(path, declared)
    if name == "efficientnet_lite0":
        from .pretrained import efficientnet_lite0

        if image is None:
            raise _of_images(name, declared.kind)
        return efficientnet_lite0(image, weights)
    if name == "sentence_encoder":
        from .sentence_encoder import sentence_encoder

        _refuse(weights is not None, name, "--weights")
        _refuse(not (isinstance(declared, DeclaredInput) and declared.is_empty), name, "an input (--kind, …)")
        return sentence_encoder()
    if name == "speech_embedding":
        from .speech_embedding import speech_embedding

        _refuse(image is None or not image.is_empty, name, "an input (--kind, --image-size, --channels, --scaling, …)")
        return speech_embedding(weights)
    if name.startswith("timm:"):
        from .timm_model import timm_source

        if image is None:
            raise _of_images(name, declared.kind)
        return timm_source(name.removeprefix("timm:"), image, weights)
    if not path.exists() and ":" in name:
        from .factory import factory_source

        return factory_source(name, declared, weights)
    from .trained import trained_source

    _refuse(weights is not None, name, "--weights")
    _refuse(image is None or not image.is_empty, name, "an input (--kind, --image-size, --channels, --scaling, …)")
    return trained_source(path)


def _of_images(name: str, kind: str) -> SourceError:
    return SourceError(f"{name} is a network of images; --kind {kind} cannot be given with it. Leave it out.")


def _refuse(given: bool, name: str, what: str) -> None:
    if given:
        raise SourceError(f"{name} has its own; {what} cannot be given with it. Leave it out.")
