"""`edgefew state`: to and from the state file of hosts in other languages."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.bundle import Bundle
from edgefew_runtime.gallery import Gallery
from edgefew_runtime.host_state import HostState, read_state, write_state

from .options import (
    bundle_argument,
    change_options,
    gallery_option,
    json_option,
    open_gallery,
    plural,
    print_json,
    unlock_with,
)

_state_argument = click.argument("state_file", metavar="STATE", type=click.Path(path_type=Path))


@click.group()
def state() -> None:
    """Carry classes to and from hosts in C, JavaScript or any language, by their state file."""


@state.command("export")
@_state_argument
@gallery_option
@json_option
def export_state(state_file: Path, gallery: Path, as_json: bool) -> None:
    """Write the classes of a gallery to a new file STATE, for a host in another language.

    It holds names, sums, counts, embeddings and the names of their sources, no pictures. What a class is not
    (`edgefew reject`), strangers (`edgefew calibrate`) and what is unlabelled (`edgefew refine`) stay behind: the file
    has no place for them.
    """
    with open_gallery(gallery, None) as opened:
        exported = HostState.of(opened)
        rejected, strangers = sum(entry.rejected for entry in opened.classes()), len(opened.strangers())
        unlabelled = len(opened.unlabelled())
    write_state(exported, state_file)
    classes = {label: len(examples) for label, examples in exported.content.items()}
    if as_json:
        print_json(
            {
                "state": str(state_file),
                "classes": classes,
                "rejected_left_behind": rejected,
                "strangers_left_behind": strangers,
                "unlabelled_left_behind": unlabelled,
            }
        )
        return
    click.echo(f"{state_file}: {_listed(classes) or 'empty'}")
    if rejected or strangers or unlabelled:
        more = f", {unlabelled} unlabelled" * bool(unlabelled)
        click.echo(f"  left behind: {rejected} rejected, {plural(strangers, 'stranger')}{more}")


@state.command("import")
@bundle_argument
@_state_argument
@gallery_option
@change_options
def import_state(
    bundle: Path, state_file: Path, gallery: Path, actor: str, passphrase_file: Path | None, as_json: bool
) -> None:
    """Enroll the examples of a host's STATE into a gallery, new or not: all or none.

    An example that is there already is not counted again. STATE must be of this BUNDLE, and whole.
    """
    opened = Bundle.open(bundle)
    read = read_state(state_file, opened.id, opened.manifest.dimension)
    with Gallery(gallery, opened.id, opened.manifest.dimension) as target:
        unlock_with(target, passphrase_file)
        added = read.enroll_into(target, actor)
    if as_json:
        print_json({"state": str(state_file), "added": added})
    else:
        click.echo(f"{state_file}: {_listed(added) or 'nothing new'}")


def _listed(classes: dict[str, int]) -> str:
    return ", ".join(f"{label} ({plural(count, 'example')})" for label, count in classes.items())
