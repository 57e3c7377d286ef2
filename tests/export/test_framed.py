"""The frame before a backbone: position and size of what is drawn do not matter, all else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.framed import Framed
from edgefew_runtime import CheckpointError, InputSpec
from PIL import Image, ImageDraw

SIDE, PIXELS = 64, 32


def framed() -> Framed:
    backbone = build_backbone("conv4", InputSpec.image(SIDE, 1, (0.5,), (0.5,)), frame=PIXELS)
    assert isinstance(backbone, Framed)
    return backbone


def drawing(x: float, y: float, scale: float, ink: int = 0, paper: int = 255) -> torch.Tensor:
    """A flag on a pole, `scale` times 20 pixels high, its foot at a place: float32 [1, 1, S, S], -1 to 1."""
    fine = 8
    image = Image.new("L", (fine * SIDE, fine * SIDE), paper)
    draw = ImageDraw.Draw(image)
    corners = [(0, 0), (0, -20), (12, -20), (12, -11), (2.5, -11), (2.5, 0)]
    draw.polygon([(fine * (x + scale * u), fine * (y + scale * v)) for u, v in corners], fill=ink)
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    return torch.from_numpy(pixels / 127.5 - 1)[None, None]


@pytest.mark.parametrize(
    ("x", "y", "scale"), [(8.0, 26.0, 1.0), (44.5, 60.25, 1.0), (12.0, 56.0, 2.2), (30.0, 40.0, 0.8)]
)
def test_place_and_size_of_the_ink_do_not_matter(x: float, y: float, scale: float) -> None:
    frame = framed().frame
    usual, moved = frame(drawing(20, 45, 1.5)), frame(drawing(x, y, scale))
    assert usual.shape == (1, 1, PIXELS, PIXELS)
    assert (usual - moved).abs().mean() < 0.04  # of a range of 2: the edges, drawn from other pixels
    assert (usual < -0.8).sum() > 60  # and there is something to see


def test_light_ink_on_a_dark_ground_is_framed_alike() -> None:
    frame = framed().frame
    dark, light = frame(drawing(10, 30, 1.0)), frame(drawing(10, 30, 1.0, ink=255, paper=0))
    assert torch.allclose(dark, -light, atol=1e-5)


def test_a_turned_drawing_stays_turned() -> None:
    frame = framed().frame
    straight = drawing(20, 45, 1.5)
    turned = torch.rot90(straight, 1, (2, 3))
    assert torch.allclose(frame(turned), torch.rot90(frame(straight), 1, (2, 3)), atol=1e-4)
    assert (frame(turned) - frame(straight)).abs().mean() > 0.2


def test_without_ink_the_frame_is_the_middle_and_nothing_is_undefined() -> None:
    flat = framed().frame(torch.full((2, 1, SIDE, SIDE), 0.3))
    assert torch.allclose(flat, torch.tensor(0.3))
    speck = torch.ones(1, 1, SIDE, SIDE)
    speck[..., 20:22, 40:42] = -1
    seen = framed().frame(speck)
    assert seen.isfinite().all()
    assert 4 < (seen < 0).sum() < PIXELS * PIXELS / 4  # a dot stays a dot


def test_where_the_frame_reaches_out_of_the_image_is_ground() -> None:
    seen = framed().frame(drawing(3, 61, 2.8))  # fills the image's left half from top to bottom
    assert torch.allclose(seen[..., :3, :], torch.ones(1, 1, 3, PIXELS), atol=1e-3)
    assert torch.allclose(seen[..., :3], torch.ones(1, 1, PIXELS, 3), atol=1e-3)


def test_only_images_have_one() -> None:
    with pytest.raises(CheckpointError, match="only images have one"):
        build_backbone("resnet1d", InputSpec.signal(64, 1), frame=16)
