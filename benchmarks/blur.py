"""How often the doctor calls a picture blurred that is sharp, and how often one that is blurred, with sensor noise.

    python benchmarks/blur.py FOLDER... [--pictures 300] [--seed 0]

Takes pictures from each folder, leaves head room as a camera does (values 20 to 235), blurs them by a Gaussian of a
share of the shorter side, adds normal noise, and prints one JSON object a folder: the share called blurred by blur and
by noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from edgefew_runtime.frame_quality import BLURRED, frame_quality
from edgefew_runtime.frames import IMAGE_SUFFIXES
from PIL import Image, ImageFilter

BLURS = (0.0, 0.04, 0.08)
NOISES = (0, 3, 8, 15)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--pictures", default=300, show_default=True, help="Of each folder.")
@click.option("--seed", default=0, show_default=True)
def main(folders: tuple[Path, ...], pictures: int, seed: int) -> None:
    """Measure the blur measure."""
    for folder in folders:
        rng = np.random.default_rng(seed)
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        chosen = [files[i] for i in rng.choice(len(files), min(pictures, len(files)), replace=False)]
        shares = {
            f"blur {blur:.0%}": {f"noise {noise}": _called_blurred(chosen, blur, noise, rng) for noise in NOISES}
            for blur in BLURS
        }
        click.echo(json.dumps({"folder": folder.name, "pictures": len(chosen), "limit": BLURRED, **shares}))


def _called_blurred(files: list[Path], blur: float, noise: int, rng: np.random.Generator) -> float:
    """The share called blurred."""
    found = 0
    for file in files:
        image = Image.open(file).convert("RGB")
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * min(image.size)))
        pixels = 20 + np.asarray(image, np.float32) * (215 / 255)
        noisy = np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 255)
        found += frame_quality(noisy.astype(np.uint8)).blur > BLURRED
    return round(found / len(files), 3)


if __name__ == "__main__":
    main()
