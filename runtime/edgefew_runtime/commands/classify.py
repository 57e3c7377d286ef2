"""`edgefew classify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from edgefew_runtime.answer import Answer
from edgefew_runtime.classifier import FALSE_ACCEPT_RATE, Classifier
from edgefew_runtime.consensus import track_answer
from edgefew_runtime.errors import FrameError
from edgefew_runtime.watch_file import keep_watch

from .options import (
    bundle_argument,
    gallery_option,
    given_frames,
    json_option,
    print_json,
    provider_option,
    require_gallery,
    text_option,
    variant_option,
)


@click.command()
@bundle_argument
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@text_option
@gallery_option
@click.option(
    "--false-accept-rate",
    type=float,
    default=FALSE_ACCEPT_RATE,
    show_default=True,
    help="The share of things not enrolled that may be called known. Where it cannot be promised, all is unknown.",
)
@click.option("--always-answer", is_flag=True, help="Never answer unknown.")
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also name every class that it may be, right with this probability (0.9, say).",
)
@click.option("--track", is_flag=True, help="The files are frames of one thing: also say what they agree on.")
@click.option(
    "--watch",
    type=click.Path(path_type=Path),
    help="Keep a watch in this file over the scores of accepted answers, and say when they fall below those of "
    "enrolment. With --track it is told of the track, else of each file.",
)
@click.option(
    "--stride",
    type=click.FloatRange(0.01),
    help="Audio: cut each recording into windows as long as the network hears, one every so many seconds; answer each.",
)
@provider_option
@variant_option
@json_option
def classify(
    bundle: Path,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    gallery: Path,
    false_accept_rate: float,
    always_answer: bool,
    coverage: float | None,
    track: bool,
    watch: Path | None,
    stride: float | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Say what each file shows: an enrolled class, or unknown.

    A file that cannot be read is told of on standard error; the others are answered, and the exit status is 1.
    """
    require_gallery(gallery)
    rate = None if always_answer else false_accept_rate
    bad = 0
    with Classifier.open(
        bundle, gallery, provider=provider, variant=variant, false_accept_rate=rate, coverage=coverage
    ) as classifier:
        if not classifier.classes():
            click.echo(f"note: nothing is enrolled in {gallery}, so everything is unknown", err=True)
        promised = classifier.promise()
        note = None if promised is None or promised.threshold is not None else promised.reason
        if note is not None:
            click.echo(f"note: {note}", err=True)
        answers = []
        for file in given_frames(files, texts, classifier):
            try:
                for second, answer in _answers(classifier, file, stride):
                    answers.append(answer)
                    place = {} if second is None else {"second": second}
                    if as_json:
                        print_json({"file": str(file), **place, **answer.to_dict(), "note": note})
                    else:
                        at = "" if second is None else f" at {second:g} s"
                        click.echo(f"{file}{at}: {_describe(answer)}")
            except FrameError as error:
                bad += 1
                click.echo(f"Error: {error}", err=True)
        verdict = track_answer(answers) if track else None
        if verdict is not None:
            if as_json:
                print_json({"track": verdict.to_dict()})
            else:
                click.echo(f"track: {verdict} ({verdict.agreeing} of {verdict.frames} frames agree)")
        if watch is not None:
            status = keep_watch(watch, classifier, answers if verdict is None else [verdict])
            if as_json:
                print_json({"drift": status.to_dict()})
            elif status.alarm:
                click.echo(f"drift: {status.advice}", err=True)
    if bad:
        raise SystemExit(1)


def _answers(classifier: Classifier, file: Path | str, stride: float | None) -> Iterator[tuple[float | None, Answer]]:
    """The answer to a file, or to each window of a recording with the second at which it begins."""
    if stride is None:
        yield None, classifier.classify(file)
        return
    from edgefew_runtime.sound_input import AudioInput
    from edgefew_runtime.sounds import cut

    spec = classifier.bundle.manifest.input
    if not isinstance(spec, AudioInput):
        raise click.UsageError(f"--stride cuts recordings; this bundle takes {spec.noun}s. Leave it out.")
    for place, window in cut(spec.load(file).values, spec.size[0], max(1, round(stride * spec.rate))):
        yield round(place / spec.rate, 3), classifier.classify(window)


def _describe(answer: Answer) -> str:
    if answer.label is None:
        return "unknown"
    may_be = "" if answer.labels is None else f"; may be: {', '.join(answer.labels) or 'none of the enrolled'}"
    if not answer.known:
        needed = "" if answer.threshold is None else f", {answer.threshold:.2f} needed"
        return f"unknown (nearest: {answer.label}, score {answer.score:.2f}{needed}){may_be}"
    second = f", then {answer.runner_up}" if answer.runner_up else ""
    return f"{answer.label} ({answer.probability:.0%}{second}){may_be}"
