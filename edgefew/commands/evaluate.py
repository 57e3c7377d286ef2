"""`edgefew evaluate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgefew_runtime.commands.options import json_option, plural, print_json

from .options import (
    data_argument,
    device_option,
    exclude_option,
    skip_bad_option,
    source_pattern_option,
    tell_bad,
)

if TYPE_CHECKING:
    from edgefew_export.evaluation import Embed


@click.command()
@click.argument("model", metavar="CHECKPOINT_OR_BUNDLE")
@data_argument
@click.option("--way", default=5, show_default=True, help="Classes in an episode.")
@click.option("--shot", default=1, show_default=True, help="Support examples of each class.")
@click.option("--query", default=1, show_default=True, help="Queries of each class.")
@click.option("--episodes", default=600, show_default=True, help="How many episodes.")
@click.option(
    "--seed",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="Which episodes; the same for a checkpoint and its bundle.",
)
@click.option(
    "--within-group",
    is_flag=True,
    help="All classes of an episode from one group, as characters of one alphabet.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Also decide with this checkpoint or bundle, and report agreement.",
)
@source_pattern_option
@exclude_option
@skip_bad_option
@device_option
@json_option
def evaluate(
    model: str,
    data: Path,
    way: int,
    shot: int,
    query: int,
    episodes: int,
    seed: int,
    within_group: bool,
    against: Path | None,
    source_pattern: str | None,
    exclude: tuple[str, ...],
    skip_bad: bool,
    device: str,
    as_json: bool,
) -> None:
    """Measure episode accuracy on a labelled folder, with its 95 % interval.

    A checkpoint runs in PyTorch, a bundle in ONNX Runtime, as on a device. `raw-pixels` in its place gives the
    baseline: the nearest mean of 28 × 28 grey pixels; for signals `raw-signal`, of 256 samples a channel.
    """
    from edgefew_export.episodes import EpisodeSampler
    from edgefew_export.evaluation import decisions, embed_folder, summarize
    from edgefew_export.labelled_folder import read_labelled_folder

    started = time.monotonic()
    if episodes < 1:
        raise click.BadParameter("at least 1 episode", param_hint="--episodes")
    models = [model] if against is None else [model, str(against)]
    embedders, kinds, ran_on = zip(*(_embedder(name, device) for name in models), strict=True)
    if len(set(kinds)) > 1:
        raise click.UsageError(f"{model} takes {kinds[0]}s and {against} {kinds[1]}s; they cannot decide on the same.")
    folder = read_labelled_folder(data, source_pattern, exclude, kinds[0])
    groups = folder.groups if within_group else None
    # Before reading the frames: what cannot be asked is said at once.
    EpisodeSampler(folder.labels, sources=folder.sources, groups=groups, way=way, shot=shot, query=query, seed=seed)
    embeddings, kept = embed_folder(folder, embedders, tell_bad(skip_bad))
    sources = None if folder.sources is None else folder.sources[kept]
    sampler = EpisodeSampler(
        folder.labels[kept], sources=sources, groups=groups, way=way, shot=shot, query=query, seed=seed
    )
    rows = [decisions(e, sampler, episodes) for e in embeddings]
    result = summarize(rows[0], sampler)
    agreement = float((rows[0] == rows[1]).mean()) if against is not None else None
    skipped = len(folder) - len(kept)
    seconds = time.monotonic() - started
    if as_json:
        print_json(
            {
                "model": model,
                **result.to_dict(),
                "images": len(kept),
                "skipped": skipped,
                "seconds": round(seconds, 2),
                "ran_on": ran_on[0],
            }
            | ({} if agreement is None else {"against": str(against), "agreement": agreement})
        )
        return
    interval = "no interval from one episode" if result.ci95 is None else f"± {result.ci95:.1%} (95 % interval)"
    click.echo(
        f"{way}-way {shot}-shot: {result.accuracy:.1%} {interval}, {plural(episodes, 'episode')}, seed {seed}, "
        f"{seconds:.1f} s on {', '.join(dict.fromkeys(ran_on))}"
    )
    if agreement is not None:
        click.echo(f"{agreement:.2%} of {rows[0].size} decisions agree with {against}")
    if skipped:
        click.echo(f"{skipped} {folder.kind}s could not be read and were left out")


def _embedder(name: str, device: str) -> tuple[Embed, str, str]:
    """What embeds with a checkpoint, a bundle or raw values, of which kind of frames, and where that runs."""
    from edgefew.baseline import raw_pixels, raw_signal

    if name == "raw-pixels":
        return raw_pixels, "image", "cpu"
    if name == "raw-signal":
        return raw_signal, "signal", "cpu"
    path = Path(name)
    if path.is_file() and not _is_zip(path):
        from edgefew_export.checkpoint import read_checkpoint
        from edgefew_export.evaluation import torch_embedder

        from edgefew.training.loop import choose_device

        chosen = choose_device(device)
        checkpoint = read_checkpoint(path)
        return torch_embedder(checkpoint.network(), checkpoint.input, chosen), checkpoint.input.kind, chosen
    from edgefew_runtime import Classifier
    from edgefew_runtime.session import has_cuda

    wants_gpu = device == "cuda" or (device == "auto" and has_cuda())
    classifier = Classifier.open(path, provider="cuda" if wants_gpu else "cpu")
    return classifier.embed, classifier.bundle.manifest.input.kind, classifier.provider


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"
