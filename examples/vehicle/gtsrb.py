r"""Real signs, where you have them: a GTSRB folder as a labelled folder, `python examples/vehicle/gtsrb.py FOLDER OUT`.

FOLDER is `Final_Training/Images` of the German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012), or a folder
that holds it. It is not downloaded here; read its terms. In it lie `00014/00003_00029.ppm` (class, track, frame) and in
each class's folder `GT-00014.csv` with the sign's box. OUT gets the boxes' pixels as PNG under the same names. A
track is a source: give `edgefew evaluate` and `edgefew train` `--source-pattern '^(\d+)_'`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefew_runtime import DataError
from PIL import Image

NEEDED = ("Filename", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")


@dataclass(frozen=True)
class Box:
    """A sign in a picture: the file, and left, top, right and bottom, both ends within."""

    file: Path
    sides: tuple[int, int, int, int]


def convert(folder: Path, out: Path) -> dict[str, int]:
    """Every sign of a GTSRB folder into `out/<class>/<track>_<frame>.png`; gives the counts.

    Raises:
        DataError: `folder` is not of that shape, a picture or a box is wrong, or `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and is not an empty folder. Give a new folder, or empty this one first.")
    tables = sorted(folder.rglob("GT-*.csv"))
    if not tables:
        raise DataError(f"{folder} holds no GT-*.csv; give the folder GTSRB/Final_Training/Images, or one above it.")
    tracks, images = set(), 0
    for table in tables:
        name = table.parent.name
        (out / name).mkdir(parents=True, exist_ok=True)
        for box in boxes(table):
            sign(box).save(out / name / f"{box.file.stem}.png")
            tracks.add((name, box.file.stem.split("_")[0]))
            images += 1
    return {"classes": len(tables), "tracks": len(tracks), "images": images}


def boxes(table: Path) -> Iterator[Box]:
    """The lines of one class's table."""
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter=";")
        missing = [name for name in NEEDED if name not in (reader.fieldnames or [])]
        if missing:
            raise DataError(f"{table} has no column {', '.join(missing)}; GTSRB's are Filename;Width;…;Roi.X1;….")
        for row in reader:
            name = row["Filename"] or ""
            if Path(name).name != name or "_" not in name:
                raise DataError(f"{table}:{reader.line_num} names {name!r}; expected TRACK_FRAME.ppm.")
            try:
                left, top, right, bottom = (int(row[key]) for key in NEEDED[1:])
            except (TypeError, ValueError):
                raise DataError(f"{table}:{reader.line_num}: the box of {name} is not four integers.") from None
            yield Box(table.parent / name, (left, top, right, bottom))


def sign(box: Box) -> Image.Image:
    """The pixels in the box, RGB."""
    left, top, right, bottom = box.sides
    try:
        with Image.open(box.file) as image:
            if not (0 <= left <= right < image.width and 0 <= top <= bottom < image.height):
                raise DataError(f"{box.file}: the box {box.sides} is not within {image.width} × {image.height} pixels.")
            return image.convert("RGB").crop((left, top, right + 1, bottom + 1))
    except (OSError, ValueError) as error:
        raise DataError(f"{box.file} cannot be read as a picture: {error}.") from None


def main() -> None:
    """As a command."""
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    try:
        told = convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except DataError as error:
        sys.exit(f"error: {error}")
    print(f"{sys.argv[2]}: {told['classes']} classes, {told['tracks']} tracks, {told['images']} signs")


if __name__ == "__main__":
    main()
