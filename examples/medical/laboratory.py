"""In the laboratory: types of red blood cells from five examples each, with "unsure" as an answer.

    python examples/medical/laboratory.py RBC12 [--splits 20] [--seed 0]
    python examples/medical/laboratory.py --made

RBC12 is the folder of Chula RBC-12, or its zip. Six types are enrolled and asked, support and queries of different
smears; the other six only fit the projection (four) and prove the bundle (two). An answer is given where its
probability is high enough, else the cell is left to a person: of what is answered, how much is right. Prints one JSON
object; intervals are 95 %, over splits of the smears. No medical device: a demonstration on a public data set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import click
import numpy as np
from edgefew_runtime import Classifier
from edgefew_runtime.labelled_folder import LabelledFolder, read_labelled_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.intervals import with_interval
from examples.medical import made

SOURCE = r"^(?P<source>smear\d+)_"
SHOTS, QUERIES, SIZE, PROOF = 5, 20, 128, 2
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Of the cells that are answered: those of the highest probability."""

MODELS: dict[str, tuple[str, ...]] = {"frozen network": (), "and `wccn`": ("--project", "wccn")}


def parts(folder: LabelledFolder) -> tuple[list[str], list[str], list[str]]:
    """Types to ask about (every second), to fit the projection on, and to prove the bundle on."""
    others = list(folder.classes[::2])
    return list(folder.classes[1::2]), others[:-PROOF], others[-PROOF:]


def split(
    folder: LabelledFolder, types: list[str], rng: np.random.Generator
) -> dict[str, tuple[list[Path], list[Path]]]:
    """For each type, examples to enroll and others to ask about, of different smears."""
    sources = np.arange(len(folder)) if folder.sources is None else folder.sources
    side = rng.random(int(sources.max()) + 1) < 0.5
    found = {}
    for name in types:
        own = rng.permutation(np.flatnonzero(folder.labels == folder.classes.index(name)))
        first, second = ([folder.root / folder.files[i] for i in own if side[sources[i]] == s] for s in (True, False))
        found[name] = first[:SHOTS], second[:QUERIES]
    return found


def answered(bundle: Path, cells: dict[str, tuple[list[Path], list[Path]]]) -> tuple[list[float], list[bool]]:
    """Of each cell that is asked about, how probable its answer is and whether it is right."""
    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        for name, (support, _) in cells.items():
            classifier.enroll(name, support)
        told = [(name, answer) for name, (_, asked) in cells.items() for answer in classifier.classify_many(asked)]
    return [answer.probability for _, answer in told], [answer.label == name for name, answer in told]


def at_shares(probabilities: list[float], right: list[bool]) -> list[float]:
    """The accuracy of the most probable answers, at each of `SHARES`."""
    order = np.argsort(-np.array(probabilities), kind="stable")
    ranked = np.array(right)[order]
    return [float(ranked[: max(1, round(share * len(ranked)))].mean()) for share in SHARES]


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--made", "is_made", is_flag=True, help="Cells that the program draws, where there are no real ones.")
@click.option("--splits", default=20, show_default=True, type=click.IntRange(2), help="Splits of the smears.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path | None, is_made: bool, splits: int, seed: int) -> None:
    """Export, enroll and ask, on the cells in DATA."""
    if is_made == (data is not None):
        raise click.UsageError("One of DATA and --made was expected.")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        if data is None:
            data = place / "made"
            made.cells(data, seed)
        elif data.is_file():
            with zipfile.ZipFile(data) as archive:
                archive.extractall(place / "unpacked")
            data = next(file.parent.parent for file in sorted((place / "unpacked").rglob("smear*.png")))
        folder = read_labelled_folder(data, SOURCE)
        asked, fit, prove = parts(folder)
        for part, types in (("fit", fit), ("prove", prove)):
            for name in types:
                (place / part).mkdir(exist_ok=True)
                (place / part / name).symlink_to((folder.root / name).resolve(), target_is_directory=True)
        rows = []
        for number, (model, projection) in enumerate(MODELS.items()):
            bundle = place / f"cells{number}.edgefew"
            words: list[object] = [
                "export",
                "efficientnet_lite0",
                bundle,
                "--image-size",
                SIZE,
                "--data",
                place / "prove",
            ]
            words += [
                "--source-pattern",
                SOURCE,
                *projection,
                *(("--project-data", place / "fit") if projection else ()),
            ]
            command = [str(Path(sys.executable).with_name("edgefew")), *map(str, words)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            curves = []
            for index in range(splits):
                cells = split(folder, asked, np.random.default_rng([seed, index]))
                curves.append(at_shares(*answered(bundle, cells)))
            measured = [with_interval(column) for column in zip(*curves, strict=True)]
            rows.append({"model": model, "at": [{"answered": s, **m} for s, m in zip(SHARES, measured, strict=True)]})
    told = {"made": is_made, "types": asked, "fitted_on": fit, "shots": SHOTS, "queries": QUERIES}
    told |= {"splits": splits, "seed": seed}
    click.echo(json.dumps(told | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
