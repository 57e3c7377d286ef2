"""Carrying classes between devices: `edgefew share` writes a class pack, `edgefew merge` takes one in."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.gallery import Gallery

from .options import (
    actor_option,
    change_options,
    gallery_option,
    json_option,
    open_gallery,
    plural,
    print_json,
    unlock_with,
)


@click.command()
@click.argument("pack", type=click.Path(path_type=Path))
@click.argument("labels", nargs=-1, metavar="[CLASS]...")
@gallery_option
@actor_option
@json_option
def share(pack: Path, labels: tuple[str, ...], gallery: Path, actor: str, as_json: bool) -> None:
    """Write classes (all, if none is named) to a new file PACK, for `edgefew merge` on another device.

    A class pack is a gallery with those classes alone, bound to the same bundle. It holds embeddings and file names, no
    pictures.
    """
    with open_gallery(gallery, None) as source:
        packed = source.share(pack, labels or None, actor)
    if as_json:
        print_json({"pack": str(pack), "classes": packed})
    else:
        click.echo(f"{pack}: {', '.join(_listed(packed))}")


@click.command()
@click.argument("packs", nargs=-1, required=True, metavar="PACK...", type=click.Path(path_type=Path))
@gallery_option
@change_options
def merge(packs: tuple[Path, ...], gallery: Path, actor: str, passphrase_file: Path | None, as_json: bool) -> None:
    """Add the classes of class packs, or of other devices' galleries, to a gallery, new or not.

    An example that is there already is not counted again, and the order does not matter. Where a picture is of one
    class here and of another there, or a stranger, nothing of that pack is merged and the conflict is named. A
    gallery brings its strangers (given to `edgefew calibrate`) and what is unlabelled (`edgefew refine`) too; a class
    pack has neither.
    """
    for pack in packs:
        with open_gallery(pack, None) as other, Gallery(gallery, other.bundle_id, other.dimension) as target:
            unlock_with(target, passphrase_file)
            merged = target.merge(other, actor)
        if as_json:
            print_json({"pack": str(pack), **merged.to_dict()})
        else:
            rejected = _listed({f"not {label}": count for label, count in merged.rejected.items()})
            strangers = [plural(merged.strangers, "stranger")] if merged.strangers else []
            unlabelled = [f"{merged.unlabelled} unlabelled"] if merged.unlabelled else []
            new = [*_listed(merged.added), *rejected, *strangers, *unlabelled]
            click.echo(f"{pack}: {', '.join(new) or 'nothing new'}")


def _listed(classes: dict[str, int]) -> list[str]:
    return [f"{label} ({plural(count, 'example')})" for label, count in classes.items()]
