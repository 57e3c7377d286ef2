"""`edgefew classify`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import FALSE_ACCEPT_RATE, Answer, Classifier
from edgefew_runtime.errors import FrameError

from .options import bundle_argument, gallery_option, json_option, print_json, provider_option, require_gallery


@click.command()
@bundle_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@gallery_option
@click.option(
    "--false-accept-rate",
    type=float,
    default=FALSE_ACCEPT_RATE,
    show_default=True,
    help="The share of things not enrolled that may be called known, of the rates that the bundle was calibrated for.",
)
@click.option("--always-answer", is_flag=True, help="Never answer unknown.")
@provider_option
@json_option
def classify(
    bundle: Path,
    files: tuple[Path, ...],
    gallery: Path,
    false_accept_rate: float,
    always_answer: bool,
    provider: str,
    as_json: bool,
) -> None:
    """Say what each file shows: an enrolled class, or unknown.

    A file that cannot be read is told of on standard error; the others are answered, and the exit status is 1.
    """
    require_gallery(gallery)
    rate = None if always_answer else false_accept_rate
    bad = 0
    with Classifier.open(bundle, gallery, provider=provider, false_accept_rate=rate) as classifier:
        if not classifier.classes():
            click.echo(f"note: nothing is enrolled in {gallery}, so everything is unknown", err=True)
        if note := classifier.threshold_note():
            click.echo(f"note: {note}", err=True)
        for file in files:
            try:
                answer = classifier.classify(file)
            except FrameError as error:
                bad += 1
                click.echo(f"Error: {error}", err=True)
                continue
            if as_json:
                print_json({"file": str(file), **answer.to_dict()})
            else:
                click.echo(f"{file}: {_describe(answer)}")
    if bad:
        raise SystemExit(1)


def _describe(answer: Answer) -> str:
    if answer.label is None:
        return "unknown"
    if not answer.known:
        return f"unknown (nearest: {answer.label}, score {answer.score:.2f}, {answer.threshold:.2f} needed)"
    second = f", then {answer.runner_up}" if answer.runner_up else ""
    return f"{answer.label} ({answer.probability:.0%}{second})"
