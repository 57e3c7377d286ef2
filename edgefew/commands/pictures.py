"""`edgefew pictures`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from edgefew_runtime import Bundle, DataError
from edgefew_runtime.commands.options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def pictures(bundle: Path, folder: Path, as_json: bool) -> None:
    """Draw a bundle's report as pictures, into FOLDER.

    Accuracy over shots, the scores of known and unknown with their thresholds, and, where `edgefew export` has
    measured (--variants or --measure), time against accuracy of the variants.
    """
    from edgefew.pictures import draw_scores, draw_shots, draw_variants

    opened = Bundle.open(bundle)
    report, name = opened.report(), opened.manifest.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made a folder for pictures: {error.strerror or error}.") from None
    drawn: list[Path] = []
    skipped: dict[str, str] = {}
    if report.get("shots"):
        drawn.append(folder / "accuracy-over-shots.png")
        draw_shots(report, name, drawn[-1])
    else:
        skipped["accuracy over shots"] = "the report has no such figures; export the bundle again"
    if report.get("scores"):
        drawn.append(folder / "known-and-unknown.png")
        draw_scores(report, opened.manifest, drawn[-1])
    else:
        skipped["known and unknown"] = "the classes were too few, or the bundle is of an older version"
    if (measured := _measured(opened)) is not None:
        drawn.append(folder / "time-and-accuracy.png")
        draw_variants(report, measured, name, drawn[-1])
    else:
        skipped["time and accuracy"] = "nothing was measured beside this bundle; export it with --measure"
    if as_json:
        print_json({"pictures": [str(path) for path in drawn], "skipped": skipped})
        return
    for path in drawn:
        click.echo(path)
    for what, why in skipped.items():
        click.echo(f"not drawn: {what}: {why}", err=True)


def _measured(bundle: Bundle) -> Mapping[str, Any] | None:
    """What was measured when this very bundle was exported; None if nothing was."""
    from edgefew_export.measured import measured_file

    file = measured_file(bundle.path)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as measurements: {error}. Delete it, or export again.") from None
    return document if isinstance(document, dict) and document.get("bundle_id") == bundle.id else None
