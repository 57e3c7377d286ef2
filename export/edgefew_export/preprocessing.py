"""What happens to a frame before the backbone sees it. Training and export both use this, so they cannot differ.

The resize is Pillow's or numpy's here and ONNX's in the bundle (within 1/255 of each other for images, within float32's
rounding for signals, exactly for sounds; texts are not resized); all that follows is one torch module of those below,
which training runs and export traces.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from edgefew_runtime import FrameError, ImageInput, InputSpec, SignalInput
from edgefew_runtime.frames import Pixels, RawFrame
from edgefew_runtime.signal_quality import LARGEST
from edgefew_runtime.sound_input import AudioInput
from edgefew_runtime.text_input import PADDING, TextInput
from PIL import Image
from torch import nn

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in grey: ITU-R BT.601, as Pillow's mode "L"."""


BARS = 128
"""The grey of what a letterbox adds."""


def resize(frame: RawFrame, spec: InputSpec) -> RawFrame:
    """A frame at the backbone's size, antialiased. The graph does the same, in ONNX.

    Args:
        frame: uint8 [H, W, 3], float32 [samples, channels] or float32 [samples], as the kind is.
        spec: the input's specification.

    Raises:
        FrameError: it is of another kind, or has other channels.
    """
    if not spec.takes(frame):
        named = {"image": "H, W, 3", "signal": f"samples, {spec.channels}", "audio": "samples", "text": "tokens"}
        axes = named[spec.kind]
        expected = f"{spec.dtype} [{axes}]"
        raise FrameError(
            f"A frame {frame.dtype} {list(frame.shape)} was given; the network takes {expected}. Give it {spec.noun}s "
            "of that kind."
        )
    if isinstance(spec, ImageInput):
        return _fit(frame, spec)
    if isinstance(spec, TextInput):
        return frame
    return centred(frame, spec.size[0]) if isinstance(spec, AudioInput) else resample(frame, spec.size[0])


def stacked(frames: list[RawFrame], spec: InputSpec) -> RawFrame:
    """Frames at the backbone's size as one batch; shorter texts with padding behind."""
    fitted = [resize(frame, spec) for frame in frames]
    if isinstance(spec, TextInput):
        longest = max(map(len, fitted))
        fitted = [np.pad(tokens, (0, longest - len(tokens)), constant_values=PADDING) for tokens in fitted]
    return np.stack(fitted)


def resample(samples: RawFrame, length: int) -> npt.NDArray[np.float32]:
    """A window at another number of samples, antialiased: float32 [s, C] → [length, C].

    Linear, with a triangle as wide as a step where samples are left out: ONNX's Resize with antialias (operator set 18)
    and Pillow's BILINEAR are the same along one axis. Applied to the differences from the first sample, here and in the
    graph, so that a flat channel stays flat to the bit.
    """
    count = len(samples)
    if count == length:
        return samples
    step = count / length
    width = max(step, 1.0)
    centres = (np.arange(length) + 0.5) * step - 0.5
    taps = np.floor(centres - width).astype(np.int64)[:, None] + np.arange(int(2 * width) + 3)
    weights = np.maximum(0, 1 - np.abs(taps - centres[:, None]) / width) * ((taps >= 0) & (taps < count))
    weights /= weights.sum(axis=1, keepdims=True)
    moved = samples - samples[:1]
    return np.asarray(np.einsum("lt,ltc->lc", weights, moved[taps.clip(0, count - 1)]), np.float32) + samples[:1]


def centred(samples: RawFrame, length: int) -> npt.NDArray[np.float32]:
    """The middle of a recording, or all of it with silence before and after: float32 [samples] → [length]."""
    start = max(0, len(samples) - length) // 2
    kept = samples[start : start + length]
    before = (length - len(kept)) // 2
    return np.pad(kept, (before, length - len(kept) - before))


def _fit(pixels: Pixels, spec: ImageInput) -> Pixels:
    height, width = spec.size
    if spec.fit == "crop":
        high, wide = pixels.shape[:2]
        kept_high, kept_wide = max(1, min(high, wide * height // width)), max(1, min(wide, high * width // height))
        top, left = (high - kept_high) // 2, (wide - kept_wide) // 2
        pixels = pixels[top : top + kept_high, left : left + kept_wide]
    if spec.fit == "letterbox":
        high, wide = pixels.shape[:2]
        new_high = max(1, min(height, (2 * high * width + wide) // (2 * wide)))
        new_wide = max(1, min(width, (2 * wide * height + high) // (2 * high)))
        top, left = (height - new_high) // 2, (width - new_wide) // 2
        boxed = np.full((height, width, 3), BARS, np.uint8)
        boxed[top : top + new_high, left : left + new_wide] = _resized(pixels, new_high, new_wide)
        return boxed
    return _resized(pixels, height, width)


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


class Preprocessing(nn.Module):
    """Resized frames as the backbone wants them: [n, …, channels] → float32 [n, C, …]."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Channels chosen, then scaled."""
        return self.scale(self.select_channels(frames))

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """Resized frames → float32 [n, C, …], values as they came."""
        raise NotImplementedError

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Values as they came → normalised."""
        raise NotImplementedError

    def mask(self, images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors [n, d], with zeros where a frame cannot be used; of an image always as they are."""
        return vectors


class ImagePreprocessing(Preprocessing):
    """Resized images: uint8 [n, h, w, 3] → float32 [n, C, h, w]."""

    mean: torch.Tensor
    std: torch.Tensor
    luma: torch.Tensor

    def __init__(self, spec: ImageInput) -> None:
        super().__init__()
        self.channels, self.order = spec.channels, spec.order
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, h, w, 3] → float32 [n, C, h, w], whole numbers 0 to 255; grey where C is 1."""
        images = frames.permute(0, 3, 1, 2).float()
        if self.channels == 1:
            return torch.round((images * self.luma).sum(1, keepdim=True))
        return images.flip(1) if self.order == "BGR" else images

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Values 0 to 255 → (value / 255 - mean) / std."""
        return (images / 255 - self.mean) / self.std


class SignalPreprocessing(Preprocessing):
    """Resampled windows: float32 [n, S, C] → [n, C, S].

    A window that is flat in all channels, or has NaN, infinity or values beyond `LARGEST`, cannot be used: the network
    sees zeros in its place, so that no NaN gets lost on the way, and its vector becomes zero.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, spec: SignalInput) -> None:
        super().__init__()
        self.normalize = spec.normalize
        constant = spec.normalize == "constant"
        mean, std = (spec.mean, spec.std) if constant else ((0.0,), (1.0,))
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1), persistent=False)

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """float32 [n, S, C] → [n, C, S]."""
        return frames.permute(0, 2, 1)

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised; of a channel that is flat, zeros where each window is normalised by itself."""
        images = torch.where(self.usable(images)[:, :, None], images, 0.0)
        if self.normalize != "window":
            return (images - self.mean) / self.std
        varies = self._varies(images)[:, :, None]
        centred = torch.where(varies, images - images.mean(dim=2, keepdim=True), 0.0)
        # To its peak first: squares of very small values are zero.
        peak = centred.abs().amax(dim=2, keepdim=True)
        shape = centred / torch.where(peak > 0, peak, 1.0)
        deviation = (shape * shape).mean(dim=2, keepdim=True).sqrt()
        return shape / torch.where(deviation > 0, deviation, 1.0)

    def usable(self, images: torch.Tensor) -> torch.Tensor:
        """Whether a window can be used: bool [n, 1], from float32 [n, C, S]."""
        # By addition: the maximum of NaN and a number is either, as each runtime likes.
        size = images.abs().mean(dim=2).mean(dim=1, keepdim=True)
        return (size <= LARGEST) & self._varies(images).any(dim=1, keepdim=True)

    def mask(self, images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors [n, d], with zeros where a window cannot be used."""
        return torch.where(self.usable(images), vectors, 0.0)

    def _varies(self, images: torch.Tensor) -> torch.Tensor:
        """Whether a channel varies: bool [n, C]."""
        return images.amax(dim=2) > images.amin(dim=2)


class TextPreprocessing(Preprocessing):
    """Texts as they come: int64 [n, tokens]. One without a token has no vector."""

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return frames

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return images

    def mask(self, images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors [n, d], with zeros where there is nothing but padding."""
        return torch.where((images >= 0).any(dim=1, keepdim=True), vectors, 0.0)


def preprocessing_of(spec: InputSpec) -> Preprocessing:
    """The preprocessing of the input's kind."""
    if isinstance(spec, ImageInput):
        return ImagePreprocessing(spec)
    if isinstance(spec, AudioInput):
        from .log_mel import SoundPreprocessing

        return SoundPreprocessing(spec)
    if isinstance(spec, TextInput):
        return TextPreprocessing()
    assert isinstance(spec, SignalInput)  # noqa: S101
    return SignalPreprocessing(spec)


class EmbeddingNetwork(nn.Module):
    """Resized frames to unit vectors: [n, …, channels] → float32 [n, d]."""

    def __init__(self, backbone: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.preprocessing = preprocessing_of(spec)
        self.backbone = backbone

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """The unit vector of each frame."""
        return self.embed(self.preprocessing.select_channels(frames))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, C, …] of values as they came → unit vectors [n, d]."""
        vectors = F.normalize(self.backbone(self.preprocessing.scale(images)), dim=1)
        return self.preprocessing.mask(images, vectors)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, C, …] of values as they came → the backbone's features [n, d], not yet of unit length."""
        return self.preprocessing.mask(images, self.backbone(self.preprocessing.scale(images)))
