"""`edgefew enroll`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import Classifier
from edgefew_runtime.doctor import Diagnosis
from edgefew_runtime.errors import EnrollmentRefusedError

from .options import (
    bundle_argument,
    frames_options,
    gallery_option,
    given_frames,
    plural,
    print_json,
    show_frames_added,
    text_option,
    unlock_with,
)


@click.command()
@bundle_argument
@click.argument("label", metavar="CLASS")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@text_option
@gallery_option
@click.option("--dry-run", is_flag=True, help="Show what would become of it, and enroll nothing.")
@click.option("--strict", is_flag=True, help="Enroll nothing if something looks wrong with any file.")
@frames_options
def enroll(
    bundle: Path,
    label: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    gallery: Path,
    dry_run: bool,
    strict: bool,
    keep_frames: bool,
    actor: str,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Add examples of a class to a gallery; both may be new.

    All files are added or, if one cannot be read, none. A file that the class has already is skipped. What looks wrong
    with a file is told, and what would help the class most.
    """
    with Classifier.open(bundle, gallery, provider=provider, variant=variant) as classifier:
        unlock_with(classifier.gallery, passphrase_file)
        try:
            enrollment = classifier.enroll(
                label,
                given_frames(files, texts, classifier),
                actor,
                strict=strict,
                keep_frames=keep_frames,
                dry_run=dry_run,
            )
        except EnrollmentRefusedError as error:
            if as_json:
                print_json({"refused": True, "diagnosis": error.diagnosis.to_dict()})
            elif dry_run:
                click.echo(f"{label}: nothing enrolled (dry run)")
                _show(error.diagnosis)
            raise
    if as_json:
        print_json({"dry_run": dry_run} | enrollment.to_dict())
        return
    told = "nothing enrolled (dry run): {} would be added" if dry_run else "{} added"
    click.echo(f"{enrollment.label}: {told.format(len(enrollment.accepted))}, {enrollment.examples} in all")
    for name in enrollment.skipped:
        click.echo(f"  skipped, enrolled already: {name}")
    show_frames_added(enrollment.frames_added)
    _show(enrollment.diagnosis)


def _show(diagnosis: Diagnosis) -> None:
    for report in diagnosis.examples:
        for finding in report.findings:
            click.echo(f"  ! {Path(report.name).name}: {finding.text}")
    if diagnosis.judged:
        told = f"{diagnosis.recognised} of {plural(diagnosis.judged, 'example')} recognised when left out"
        taken = f"; others are taken for {diagnosis.confused_with!r}" if diagnosis.confused_with else ""
        click.echo(f"  {told}{taken}")
    for advice in diagnosis.advice:
        click.echo(f"  → {advice}")
