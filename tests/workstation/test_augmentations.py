"""Augmentations by name: each repeats with its generator, stays in range, and does what its settings say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgefew.training.augment import Augmentation, TaskAugmentation, known_fields
from edgefew.training.augment_photo import PhotoAugmentation, blurred
from edgefew.training.augmentations import AUGMENTATIONS

STILL = Augmentation(0, 0, 0, 0, 0)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, channels: int = 3, size: int = 20) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=seeded(0)) * 255


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS["image"]))
@pytest.mark.parametrize("channels", [1, 3])
def test_each_repeats_with_its_generator_and_stays_in_range(name: str, channels: int) -> None:
    images, augment = pictures(channels=channels), AUGMENTATIONS["image"][name]
    before = images.clone()
    one = augment(images, seeded())
    assert torch.equal(one, augment(images, seeded()))
    assert torch.equal(images, before)
    assert one.shape == images.shape
    assert one.min() >= 0
    assert one.max() <= 255.001
    moved = [not torch.equal(a, b) for a, b in zip(one, augment(images, seeded(4)), strict=True)]
    assert all(moved) == (name != "none")


def test_an_elastic_change_moves_places_apart() -> None:
    ramp = torch.arange(32.0).expand(4, 1, 32, 32) * 8
    assert torch.allclose(STILL(ramp, seeded()), ramp, atol=1e-3)
    shift = (Augmentation(0, 0, 0, 0, 0, elastic=0.03)(ramp, seeded()) - ramp)[..., 8:24, 8:24] / 8
    assert 0.3 < shift.std() < 2.0  # 0.03 of 32 pixels is about one
    assert (shift.flatten(1).std(dim=1) > 0.1).all()  # more than a shift of the whole


def test_places_are_those_of_an_affine_grid_and_a_bicubic_field() -> None:
    theta, places = torch.randn(3, 2, 3, generator=seeded()), torch.randn(3, 2, 5, 5, generator=seeded(1))
    expected = F.affine_grid(theta, [3, 1, 20, 24], align_corners=False)
    expected += F.interpolate(places, size=(20, 24), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    found = torch.cat([theta, places.flatten(2)], dim=2) @ known_fields(20, 24, theta.device)
    assert torch.allclose(found.view(3, 2, 20, 24).permute(0, 2, 3, 1), expected, atol=1e-5)


def test_a_blur_is_a_convolution_with_each_images_own_gaussian() -> None:
    images, sigma = pictures(n=2, size=20)[..., :18], torch.tensor([[0.4], [1.3]])
    found = blurred(images, sigma, 4)
    for image, deviation, one in zip(images, sigma, found, strict=True):
        kernel = torch.exp(-0.5 * (torch.arange(-4, 5) / deviation).square())
        square = torch.outer(kernel, kernel) / kernel.sum().square()
        padded = F.pad(image[:, None], (4, 4, 4, 4), mode="replicate")
        assert torch.allclose(F.conv2d(padded, square[None, None])[:, 0], one, atol=1e-3)


def test_a_blur_keeps_the_mean_and_smooths() -> None:
    still = PhotoAugmentation(STILL, 0, 0, 0, 0, 0, 0)
    images = pictures(n=16, size=32)
    assert torch.allclose(still(images, seeded()), images, atol=1e-2)
    blurred = PhotoAugmentation(STILL, 0, 0, 0, 2.0, 0, 0)(images, seeded())
    assert torch.allclose(blurred.mean(dim=(2, 3)), images.mean(dim=(2, 3)), atol=6)
    assert (blurred.std(dim=(1, 2, 3)) < images.std(dim=(1, 2, 3)) + 1e-3).all()
    assert blurred.std() < 0.8 * images.std()


def test_an_erased_rectangle_has_one_value_a_channel() -> None:
    images = pictures(n=32)
    erased = PhotoAugmentation(STILL, 0, 0, 0, 0, 0, 1.0)(images, seeded())
    changed = (erased - images).abs() > 0.05
    assert 0.005 < changed.float().mean() < 0.1
    for image, where in zip(erased, changed, strict=True):
        for channel, mask in zip(image, where, strict=True):
            assert len(channel[mask].unique()) <= 1


def test_light_and_colour_change_each_image_as_a_whole() -> None:
    flat = torch.full((64, 3, 8, 8), 100.0)
    changed = PhotoAugmentation(STILL, 0.2, 0, 0, 0, 0, 0)(flat, seeded())
    assert torch.allclose(changed, changed[:, :1, :1, :1].expand_as(changed), atol=1e-2)
    assert 49 < changed.min() < 70
    assert 130 < changed.max() < 151.1
    tinted = PhotoAugmentation(STILL, 0, 0, 0.2, 0, 0, 0)(flat, seeded())
    assert (tinted[:, :, 0, 0].std(dim=1) > 0.1).all()
    assert tinted.max() < 120.1


def two_of_each_class() -> tuple[torch.Tensor, torch.Tensor]:
    classes = torch.arange(12).repeat(2)
    return pictures(n=12, size=32)[classes], classes


def test_a_task_augmentation_changes_all_of_a_class_alike_and_each_class_in_its_own_way() -> None:
    images, classes = two_of_each_class()
    changed = STILL(images, seeded(), TaskAugmentation(turn=0, mirror=False).draw(classes, 12, seeded()))
    assert torch.equal(changed[:12], changed[12:])
    assert not torch.allclose(changed[:12], images[:12], atol=1)
    bent = TaskAugmentation(turn=0, mirror=False).draw(torch.arange(2000), 2000, seeded()).shifts
    assert torch.equal(bent, TaskAugmentation(turn=0, mirror=False).draw(torch.arange(2000), 2000, seeded()).shifts)
    # in coordinates from -1 to 1: of a side 0.075 at most, evenly between none and it
    spread = bent.flatten(1).std(dim=1)
    assert spread.mean() == pytest.approx(0.075, rel=0.05)
    assert spread.quantile(0.1) < 0.03
    assert spread.quantile(0.9) > 0.12


def test_a_task_augmentation_turns_the_classes_of_an_episode_alike_and_then_mirrors_every_other() -> None:
    images, classes = two_of_each_class()
    found = {0: 0, 1: 0}
    turns = set()
    for seed in range(40):
        matrices = TaskAugmentation(turn=45, mirror=True, elastic=0).draw(classes, 12, seeded(seed)).matrices
        assert torch.equal(matrices[:12], matrices[12:])
        straight = torch.linalg.det(matrices)[:, None, None] > 0
        unmirrored = torch.where(straight, matrices, matrices * torch.tensor([-1.0, 1.0]))
        assert torch.allclose(unmirrored, unmirrored[0].expand_as(unmirrored))
        turns.add(round(float(torch.rad2deg(torch.atan2(unmirrored[0, 1, 0], unmirrored[0, 0, 0]))), 3))
        for one in straight[:12].flatten():
            found[int(one)] += 1
    assert len(turns) == 40
    assert -45 <= min(turns) < -30
    assert 30 < max(turns) <= 45
    assert 0.4 < found[0] / 480 < 0.6
    mirrors = TaskAugmentation(turn=0, mirror=True, elastic=0).draw(classes, 12, seeded())
    turned_over = torch.linalg.det(mirrors.matrices) < 0
    changed = STILL(images, seeded(), mirrors)
    assert torch.allclose(changed[turned_over], images[turned_over].flip(3), atol=1e-2)
    assert torch.allclose(changed[~turned_over], images[~turned_over], atol=1e-2)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS["image"]))
def test_every_augmentation_of_images_changes_classes_as_a_whole_too(name: str) -> None:
    images, classes = two_of_each_class()
    plain = AUGMENTATIONS["image"][name](images, seeded())
    changed = AUGMENTATIONS["image"][name](images, seeded(), TaskAugmentation().draw(classes, 12, seeded(1)))
    assert changed.shape == plain.shape
    assert not any(torch.allclose(a, b, atol=1) for a, b in zip(changed, plain, strict=True))
