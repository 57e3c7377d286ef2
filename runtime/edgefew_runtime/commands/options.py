"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from edgefew_runtime.bundle import Bundle
from edgefew_runtime.classifier import Classifier
from edgefew_runtime.errors import DataError, GalleryFormatError
from edgefew_runtime.gallery import Gallery
from edgefew_runtime.input_spec import InputSpec
from edgefew_runtime.loading import AUTO
from edgefew_runtime.regular_file import shown

_Function = TypeVar("_Function", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON alone on standard output.")

gallery_option = click.option(
    "--gallery",
    required=True,
    type=click.Path(path_type=Path),
    help="The file that holds the enrolled classes.",
)


def _actor_name(_: click.Context, __: click.Parameter, given: str | None) -> str:
    """The name for the log."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


actor_option = click.option(
    "--actor",
    default=None,
    callback=_actor_name,
    help="Who does this, for the gallery's log. Default: the name of the user logged in.",
)

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    envvar="EDGEFEW_PASSPHRASE_FILE",
    help="A file with the pass-phrase of a locked gallery.",
)

keep_frames_option = click.option(
    "--keep-frames",
    is_flag=True,
    help="Keep the frames in the gallery, so that a later bundle can enroll them again (`edgefew migrate`); also of "
    "examples that are there already.",
)

provider_option = click.option(
    "--provider", default="cpu", show_default=True, help="Where the network runs: cpu, cuda, tensorrt."
)

variant_option = click.option(
    "--variant",
    default=AUTO,
    show_default=True,
    help="Which variant of the bundle's network: fp32, int8, …; auto takes the fastest here, measured the first time.",
)


def change_options(command: _Function) -> _Function:
    """The options of a command that changes a gallery: who does it, with what pass-phrase."""
    return actor_option(passphrase_option(json_option(command)))


def frames_options(command: _Function) -> _Function:
    """The options of a command that puts frames into a gallery."""
    own = provider_option(variant_option(json_option(command)))
    return keep_frames_option(actor_option(passphrase_option(own)))


optional_bundle_argument = click.argument("bundle", required=False, type=click.Path(path_type=Path))

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))


_LONGEST_PASSPHRASE = 4096


def text_option(command: _Function) -> _Function:
    """`--text`: what to read beside files, for bundles of texts."""
    told = "A text, for a bundle of texts. May be given again."
    return click.option("--text", "texts", multiple=True, help=told)(command)


def given_frames(files: tuple[Path, ...], texts: tuple[str, ...], classifier: Classifier) -> list[Path | str]:
    """The files and the texts.

    Raises:
        click.UsageError: there are none, or texts for a bundle of another kind.
    """
    spec = classifier.bundle.manifest.input
    if texts and spec.kind != "text":
        raise click.UsageError(f"--text was given; this bundle takes {spec.noun}s. Name files.")
    if not files and not texts:
        raise click.UsageError("Missing argument 'FILES...'." + " Or give a --text." * (spec.kind == "text"))
    return [*files, *texts]


def frames_in(path: Path, spec: InputSpec) -> Iterator[Path]:
    """The frames of a folder and of those in it, or the one frame that the path names.

    Raises:
        DataError: there is none in the folder.
    """
    if not path.is_dir():
        yield path
        return
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in spec.suffixes)
    if not found:
        raise DataError(f"There is no {spec.kind} in {path} ({', '.join(sorted(spec.suffixes))}). Check the folder.")
    yield from found


def print_json(document: dict[str, Any]) -> None:
    """One object on one line of standard output."""
    text = json.dumps(document, ensure_ascii=False)
    # A path that is not UTF-8: "\\udcff" is how JSON, too, writes what is not.
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def minute(at: str) -> str:
    """A time of the log, for people."""
    return f"{at[:16].replace('T', ' ')} UTC"


def plural(count: int, noun: str) -> str:
    """The count with its noun.

    >>> plural(1, "example"), plural(2, "example")
    ('1 example', '2 examples')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def show_frames_added(number: int) -> None:
    """Say of how many examples that were there already the pictures are kept now, if of any."""
    if number:
        click.echo(f"  {plural(number, 'picture')} kept of examples that were there already")


def split_bundle(words: tuple[str, ...], expected: int) -> tuple[Path | None, tuple[str, ...]]:
    """Command-line words as a bundle, if there is one more word than expected, and the rest."""
    if len(words) not in (expected, expected + 1):
        raise click.UsageError(
            f"{plural(len(words), 'word')} given, {expected} expected (and the bundle before, if you like). "
            "Put a name with blanks in quotes."
        )
    bundle = Path(words[0]) if len(words) > expected else None
    return bundle, words[len(words) - expected :]


def read_passphrase(file: Path) -> str:
    """The first line of the file."""
    try:
        with file.open("rb") as opened:  # not the whole of it: it may be a device that never ends
            return opened.readline(_LONGEST_PASSPHRASE).decode().strip()
    except (OSError, ValueError) as error:
        raise click.ClickException(f"The pass-phrase file {file} cannot be read: {error}.") from None


def require_gallery(gallery: Path) -> None:
    """Refuse a gallery that is not there, or that a disk fault emptied: reading must not make a new one."""
    try:
        size = gallery.stat().st_size
    except FileNotFoundError:
        raise GalleryFormatError(f"There is no gallery {gallery}. Check the path, or enroll a class first.") from None
    except (OSError, ValueError) as error:
        raise GalleryFormatError(f"{shown(gallery)} cannot be opened as a gallery: {error}.") from None
    if size == 0:
        raise GalleryFormatError(f"{gallery} is empty (0 bytes): it is no gallery. Restore a copy, or enroll anew.")


def open_gallery(gallery: Path, bundle: Path | None, passphrase_file: Path | None = None) -> Gallery:
    """A gallery that exists; checked against the bundle if one is given."""
    require_gallery(gallery)
    opened = None if bundle is None else Bundle.open(bundle)
    found = Gallery(gallery) if opened is None else Gallery(gallery, opened.id, opened.manifest.dimension)
    unlock_with(found, passphrase_file)
    return found


def unlock_with(gallery: Gallery, passphrase_file: Path | None) -> None:
    """Let this gallery object make changes, if a pass-phrase was given."""
    if passphrase_file is not None:
        gallery.unlock(read_passphrase(passphrase_file))
