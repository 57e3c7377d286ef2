"""Unlabelled frames: what one step of soft k-means with a distractor cluster gives on classes that training never saw.

    python benchmarks/refine.py SOURCE FOLDER --source-pattern PATTERN

SOURCE is what `edgefew export` takes. Prints one JSON object: 5-way at 1 and 5 shots, with 1, 3 and 10 unlabelled
frames of each class, without and with unlabelled frames of 5 further classes, where FOLDER has frames and classes
enough. Support is of other sources than queries and unlabelled frames; no unlabelled frame is a query. The intervals
are 95 %, that of the gain paired.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path

import click
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import embed_folder
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.refinement import evaluate_refinement
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_runtime import DataError

WAY, QUERIES, SEED = 5, 3, 0
SHOTS, UNLABELLED, DISTRACTORS = (1, 5), (1, 3, 10), (0, 5)


@click.command()
@click.argument("source")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--source-pattern", help="As for `edgefew evaluate`.")
@click.option("--image-size", type=int, help="Of a source that takes any size.")
@click.option("--exclude", multiple=True, help="Classes to leave out, as for `edgefew evaluate`.")
@click.option("--episodes", default=600, show_default=True)
def main(
    source: str,
    folder: Path,
    source_pattern: str | None,
    image_size: int | None,
    exclude: tuple[str, ...],
    episodes: int,
) -> None:
    """Measure on FOLDER what unlabelled frames give."""
    opened = open_source(source, DeclaredInput(size=None if image_size is None else (image_size, image_size)), None)
    read = read_labelled_folder(folder, source_pattern, exclude=exclude)
    (embeddings,), kept = embed_folder(read, [opened.reference])
    labels, sources = read.labels[kept], None if read.sources is None else read.sources[kept]
    rows = []
    for shot, unlabelled, distractors in itertools.product(SHOTS, UNLABELLED, DISTRACTORS):
        with contextlib.suppress(DataError):  # too few frames or classes for such episodes
            sampler = EpisodeSampler(
                labels,
                sources=sources,
                way=WAY + distractors,
                shot=shot,
                query=QUERIES + unlabelled,
                seed=SEED,
                checked=episodes,
            )
            found = evaluate_refinement(
                embeddings, sampler, episodes, unlabelled=unlabelled, distractors=distractors
            ).to_dict()
            rows.append({name: found[name] for name in ("without", "refined", "gain", "gain_ci95")})
            rows[-1] |= {"shot": shot, "unlabelled": unlabelled, "distractors": distractors}
    if not rows:
        raise click.ClickException(f"{folder} has too few classes or frames for 5-way episodes with unlabelled ones.")
    click.echo(json.dumps({"way": WAY, "queries": QUERIES, "seed": SEED, "episodes": episodes, "rows": rows}))


if __name__ == "__main__":
    main()
