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
    from edgefew_export.open_set import Labels
    from edgefew_export.refinement import RefinedEvaluation
    from edgefew_runtime import InputSpec


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
    "--strangers",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="Also ask about so many classes an episode that are not enrolled: are known and unknown told apart?",
)
@click.option(
    "--unlabelled",
    type=click.IntRange(min=1),
    help="Instead, refine the prototypes by so many unlabelled frames of each class, none of them a query: what gains?",
)
@click.option(
    "--distractors",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="Further classes that give unlabelled frames alone; with --unlabelled.",
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
    strangers: int,
    unlabelled: int | None,
    distractors: int,
    against: Path | None,
    source_pattern: str | None,
    exclude: tuple[str, ...],
    skip_bad: bool,
    device: str,
    as_json: bool,
) -> None:
    """Measure episode accuracy on a labelled folder, with its 95 % interval.

    A checkpoint runs in PyTorch, a bundle in ONNX Runtime, as on a device. `raw-pixels` in its place gives the
    baseline: the nearest mean of 28 × 28 grey pixels; for signals `raw-signal`, of 256 samples a channel;
    for recordings `raw-sound`, of a log-mel spectrogram of 10 parts of time.

    With --unlabelled, the accuracy of the support alone and of prototypes refined by soft k-means with a distractor
    cluster, on the same queries. The unlabelled frames come from the queries' sources.
    """
    from edgefew_export.episodes import EpisodeSampler
    from edgefew_export.evaluation import decisions, embed_folder, summarize
    from edgefew_export.labelled_folder import read_labelled_folder
    from edgefew_export.open_set import episodes_with_strangers
    from edgefew_export.refinement import evaluate_refinement
    from edgefew_runtime import AudioInput
    from edgefew_runtime.text_input import TextInput

    started = time.monotonic()
    if episodes < 1:
        raise click.BadParameter("at least 1 episode", param_hint="--episodes")
    if strangers and episodes < 2:
        raise click.UsageError("--strangers needs at least 2 --episodes: its figures have intervals over them.")
    if distractors and unlabelled is None:
        raise click.UsageError("--distractors gives unlabelled frames: say how many of each class with --unlabelled.")
    if unlabelled is not None and (against is not None or strangers):
        raise click.UsageError("--unlabelled, --against and --strangers ask different things: ask once each.")
    models = [model] if against is None else [model, str(against)]
    embedders, inputs, ran_on = zip(*(_embedder(name, device) for name in models), strict=True)
    kinds = [taken if isinstance(taken, str) else taken.kind for taken in inputs]
    if len(set(kinds)) > 1:
        raise click.UsageError(f"{model} takes {kinds[0]}s and {against} {kinds[1]}s; they cannot decide on the same.")
    folder = read_labelled_folder(data, source_pattern, exclude, kinds[0])
    rates = {taken.rate for taken in inputs if isinstance(taken, AudioInput)}
    if len(rates) > 1:
        raise click.UsageError(
            f"{model} and {against} take recordings of {min(rates)} and {max(rates)} Hz. Ask once each."
        )
    load = inputs[0].load if isinstance(inputs[0], (AudioInput, TextInput)) else None
    groups = folder.groups if within_group else None

    def sampled(labels: Labels, sources: Labels | None, ways: int, queries: int) -> EpisodeSampler:
        return EpisodeSampler(labels, sources=sources, groups=groups, way=ways, shot=shot, query=queries, seed=seed)

    # Before reading the frames: what cannot be asked is said at once.
    sampled(folder.labels, folder.sources, way + strangers + distractors, query + (unlabelled or 0))
    embeddings, kept = embed_folder(folder, embedders, tell_bad(skip_bad), load)
    sources = None if folder.sources is None else folder.sources[kept]
    if unlabelled is not None:
        drawn = sampled(folder.labels[kept], sources, way + distractors, query + unlabelled)
        refined = evaluate_refinement(embeddings[0], drawn, episodes, unlabelled=unlabelled, distractors=distractors)
        _tell_refined(refined, model, len(folder) - len(kept), as_json)
        return
    sampler = sampled(folder.labels[kept], sources, way, query)
    apart = {}
    if strangers:
        asked = sampled(folder.labels[kept], sources, way + strangers, query)
        apart = {"open_set": episodes_with_strangers(embeddings[0], asked, way, episodes)}
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
            | apart
            | ({} if agreement is None else {"against": str(against), "agreement": agreement})
        )
        return
    interval = "no interval from one episode" if result.ci95 is None else f"± {result.ci95:.1%} (95 % interval)"
    click.echo(
        f"{way}-way {shot}-shot: {result.accuracy:.1%} {interval}, {plural(episodes, 'episode')}, seed {seed}, "
        f"{seconds:.1f} s on {', '.join(dict.fromkeys(ran_on))}"
    )
    for measured in apart.values():
        area, accepted = measured["auroc"], measured["false_accepts"]
        click.echo(
            f"{plural(strangers, 'stranger')} an episode: AUROC {area['mean']:.3f} ± {area['ci95']:.3f}; where "
            f"{measured['recall']:.0%} of what is enrolled is accepted, so are {accepted['mean']:.1%} ± "
            f"{accepted['ci95']:.1%} of strangers"
        )
    if agreement is not None:
        click.echo(f"{agreement:.2%} of {rows[0].size} decisions agree with {against}")
    if skipped:
        click.echo(f"{skipped} {folder.kind}s could not be read and were left out")


def _tell_refined(result: RefinedEvaluation, model: str, skipped: int, as_json: bool) -> None:
    """Print the accuracy without and with unlabelled frames."""
    if as_json:
        print_json({"model": model, **result.to_dict(), "skipped": skipped})
        return
    for name, evaluation in (("support alone", result.without), ("refined", result.refined)):
        interval = "" if evaluation.ci95 is None else f" ± {evaluation.ci95:.1%}"
        click.echo(f"{evaluation.way}-way {evaluation.shot}-shot, {name}: {evaluation.accuracy:.1%}{interval}")
    interval = "no interval from one episode" if result.gain_ci95 is None else f"± {result.gain_ci95:.1%}"
    click.echo(
        f"gain {result.gain:+.1%} {interval} (95 %, paired) from {result.unlabelled} unlabelled of each class, "
        f"{plural(result.distractors, 'distractor')}, "
        f"{plural(result.refined.episodes, 'episode')}, seed {result.refined.seed}"
    )
    if skipped:
        click.echo(f"{plural(skipped, 'frame')} could not be read and left out")


def _embedder(name: str, device: str) -> tuple[Embed, InputSpec | str, str]:
    """What embeds with a checkpoint, a bundle or raw values, what that takes or its kind, and where it runs."""
    from edgefew.baseline import raw_pixels, raw_signal, raw_sound

    if name == "raw-pixels":
        return raw_pixels, "image", "cpu"
    if name == "raw-signal":
        return raw_signal, "signal", "cpu"
    if name == "raw-sound":
        return raw_sound, "audio", "cpu"
    path = Path(name)
    if path.is_file() and not _is_zip(path):
        from edgefew_export.checkpoint import read_checkpoint
        from edgefew_export.evaluation import torch_embedder

        from edgefew.training.loop import choose_device

        chosen = choose_device(device)
        checkpoint = read_checkpoint(path)
        return torch_embedder(checkpoint.network(), checkpoint.input, chosen), checkpoint.input, chosen
    from edgefew_runtime import Classifier
    from edgefew_runtime.session import has_cuda

    wants_gpu = device == "cuda" or (device == "auto" and has_cuda())
    classifier = Classifier.open(path, provider="cuda" if wants_gpu else "cpu")
    return classifier.embed, classifier.bundle.manifest.input, classifier.provider


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"
