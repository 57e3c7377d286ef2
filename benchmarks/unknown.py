"""Does "unknown" hold its promise? False accepts, recall and conformal coverage on classes that a bundle never saw.

    python benchmarks/unknown.py BUNDLE FOLDER [--source-pattern REGEX] [--galleries 200] [--seed 0]

FOLDER holds classes that neither training nor calibration saw. Each gallery enrolls some of them, chosen at random, and
asks about a frame of every class: of those enrolled from another source than the support, of the others (the
strangers) from any. Then the same with the site's own strangers: the frames of half of the classes that are not
enrolled are given to calibrate with, the other half is asked about. Prints one JSON object; intervals are 95 %, over
galleries.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from edgefew_export.labelled_folder import LabelledFolder, read_frames, read_labelled_folder
from edgefew_runtime import Bundle, Classifier, Manifest, Task, head
from edgefew_runtime.answer import Decision
from edgefew_runtime.operating_point import coverage_score, promise
from intervals import with_interval

WAYS = (5, 20, 50, 100)
SHOTS = (1, 2)
RATES = (0.01, 0.05, 0.1)
COVERAGE = 0.9


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--source-pattern", help="A regular expression that finds the source in a file name.")
@click.option("--galleries", default=200, show_default=True, help="Random galleries for each line.")
@click.option("--seed", default=0, show_default=True)
def main(bundle: Path, folder: Path, source_pattern: str | None, galleries: int, seed: int) -> None:
    """Measure what BUNDLE promises on the classes in FOLDER."""
    opened = Bundle.open(bundle)
    data = read_labelled_folder(folder, source_pattern)
    with Classifier.open(opened) as classifier:
        embeddings = classifier.embed(pixels for _, pixels in read_frames(data, None))
    rows = [
        _measure(opened.manifest, embeddings, data, way, shot, rate, galleries, seed, on_site=on_site)
        for on_site in (False, True)
        for way in WAYS
        for shot in SHOTS
        for rate in RATES
        if 2 * way <= len(np.unique(data.labels))
    ]
    click.echo(json.dumps({"bundle": opened.id, "galleries": galleries, "seed": seed, "rows": rows}, indent=1))


def _measure(
    manifest: Manifest,
    embeddings: head.Embeddings,
    data: LabelledFolder,
    way: int,
    shot: int,
    rate: float,
    galleries: int,
    seed: int,
    *,
    on_site: bool,
) -> dict[str, Any]:
    labels, sources = data.labels, data.sources if data.sources is not None else np.arange(len(data.labels))
    classes, counts = np.unique(labels, return_counts=True)
    coverage = min(COVERAGE, max(p.coverage for p in manifest.coverage_points))  # a small bundle promises less
    rng = np.random.default_rng([seed, way, shot])
    accepts, recalls, covered, sizes, thresholds = [], [], [], [], []
    for _ in range(galleries):
        chosen = rng.permutation(classes[counts > shot])[:way]
        support = np.stack([rng.permutation(np.flatnonzero(labels == c))[:shot] for c in chosen])
        sums = head.to_grid(embeddings[support.ravel()]).reshape(len(chosen), shot, -1).sum(axis=1)
        names = tuple(map(str, chosen))
        others = rng.permutation(np.setdiff1d(classes, chosen))
        given = others[: len(others) // 2] if on_site else others[:0]
        known_strangers = head.to_grid(embeddings[np.isin(labels, given)])
        task = Task(names, head.unit(sums), np.full(len(chosen), shot), {}, known_strangers)
        promised = promise(manifest.operating_points, task, rate)
        if promised.basis != ("site" if on_site else "bundle"):
            return {"on_site": on_site, "way": way, "shot": shot, "promised": rate, "threshold": None}
        thresholds.append(promised.threshold)
        covering = coverage_score(manifest.coverage_points, task, coverage)
        decision = Decision((0, 0), task, float(np.float32(manifest.scale)), promised, covering)
        asked, strangers = [], []
        for c in np.setdiff1d(classes, given):
            members = np.flatnonzero(labels == c)
            if c not in chosen:
                strangers.append(decision.answer(embeddings[rng.choice(members)]).known)
                continue
            used = set(sources[support[list(chosen).index(c)]])
            if others := [m for m in members if sources[m] not in used]:
                asked.append((str(c), decision.answer(embeddings[rng.choice(others)])))
        accepts.append(np.mean(strangers))
        recalls += [answer.known and answer.label == c for c, answer in asked]
        covered += [c in (answer.labels or ()) for c, answer in asked]
        sizes += [len(answer.labels or ()) for _, answer in asked]
    return {
        "on_site": on_site,
        "way": way,
        "shot": shot,
        "promised": rate,
        "threshold": round(float(np.mean(thresholds)), 4),
        "false_accepts": with_interval(accepts),
        "recall": with_interval(recalls),
        "coverage": with_interval(covered),
        "coverage_promised": coverage,
        "set_size": round(float(np.mean(sizes)), 2),
    }


if __name__ == "__main__":
    main()
