"""Omniglot as its official runs ask: one drawer gives an example of each character, another is asked about.

    python benchmarks/omniglot_runs.py omniglot.ckpt images_background_small2 --exclude 'Greek/*' --exclude 'Latin/*'

A run is of 20 characters of one alphabet, or of all where it has fewer, and of two of its drawers (Lake, Salakhutdinov,
Tenenbaum, Science 350, 2015). Prints one JSON object: each alphabet's accuracy and the mean over alphabets; intervals
are 95 %, over runs.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.evaluation import embed_folder, episode_scores, torch_embedder
from edgefew_export.labelled_folder import read_labelled_folder
from intervals import with_interval

SOURCE_PATTERN = r"_(\d+)\.png$"
WAY = 20


def draw_run(
    table: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Support and query of one run, int64 [way, 1] both, from an alphabet's rows [characters, drawers]."""
    characters = rng.permutation(len(table))[:WAY]
    teacher, asked = rng.permutation(table.shape[1])[:2]
    return table[characters][:, [teacher]], table[characters][:, [asked]]


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--runs", default=1000, show_default=True, help="Of each alphabet.")
@click.option("--seed", default=0, show_default=True)
@click.option("--exclude", multiple=True, help="Characters to leave out.")
def main(checkpoint: Path, data: Path, runs: int, seed: int, exclude: tuple[str, ...]) -> None:
    """Ask the network of CHECKPOINT about the alphabets in DATA."""
    folder = read_labelled_folder(data, SOURCE_PATTERN, exclude)
    assert folder.sources is not None
    model = read_checkpoint(checkpoint)
    (embeddings,), kept = embed_folder(folder, [torch_embedder(model.network().eval(), model.input)])
    assert len(kept) == len(folder)
    rng = np.random.default_rng(seed)
    alphabets = {}
    names = np.array([name.split("/")[0] for name in folder.classes])
    for alphabet in sorted(set(names)):
        rows = np.flatnonzero(names[folder.labels] == alphabet)
        table = rows[np.lexsort((folder.sources[rows], folder.labels[rows]))].reshape((names == alphabet).sum(), -1)
        right = []
        for _ in range(runs):
            support, query = draw_run(table, rng)
            answers = episode_scores(embeddings, support, query).argmax(axis=1)
            right.append(float((answers == np.arange(len(answers))).mean()))
        alphabets[alphabet] = {"characters": len(table), "way": min(WAY, len(table)), **with_interval(right)}
    mean = round(float(np.mean([told["mean"] for told in alphabets.values()])), 4)
    click.echo(json.dumps({"test": data.name, "runs": runs, "seed": seed, "mean": mean, "alphabets": alphabets}))


if __name__ == "__main__":
    main()
