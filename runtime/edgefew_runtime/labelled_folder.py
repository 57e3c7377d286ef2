"""A labelled folder: a class is a folder that holds images, windows of a signal, recordings, or texts.

Folders may be nested (`Alphabet/character01/*.png`): the class is then `Alphabet/character01` and `Alphabet` is its
group. A pattern on the file name tells the *source* of a frame (design family, smear, track, speaker, patient): support
and query of an episode never share one.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import DataError, FrameError
from .frames import IMAGE_SUFFIXES, SIGNAL_SUFFIXES, SOUND_SUFFIXES, TEXT_SUFFIXES, Frame, RawFrame, load_frame
from .input_spec import InputSpec
from .signals import load_signal

SUFFIXES = {"image": IMAGE_SUFFIXES, "signal": SIGNAL_SUFFIXES, "audio": SOUND_SUFFIXES, "text": TEXT_SUFFIXES}
"""The suffixes of the files of each kind of frame."""

SOUND_RATE = 16_000
"""Samples a second of recordings where no network says its own rate."""


@dataclass(frozen=True)
class LabelledFolder:
    """The frames of a folder with their classes and sources; `n` frames, `c` classes.

    Attributes:
        root: the folder.
        kind: "image", "signal", "audio" or "text".
        files: `n` paths, sorted, relative to the root.
        classes: `c` names, sorted.
        labels: int64 [n], index into `classes`.
        sources: int64 [n], a number for each source; None if no pattern was given, and then every frame stands for
            itself.
        groups: int64 [c], a number for each class's parent folder.
        roots: int64 [c], which of several folders that were given together it is of; 0 for a single one.
    """

    root: Path
    kind: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None
    groups: npt.NDArray[np.int64]
    roots: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    def select_classes(
        self, wanted: Sequence[int] | npt.NDArray[np.int64]
    ) -> tuple[LabelledFolder, npt.NDArray[np.int64]]:
        """The same folder with only these classes, and which frames (index into `files`) it kept."""
        wanted = np.sort(np.asarray(wanted, dtype=np.int64))
        kept = np.flatnonzero(np.isin(self.labels, wanted))
        folder = LabelledFolder(
            self.root,
            self.kind,
            tuple(self.files[i] for i in kept),
            tuple(self.classes[i] for i in wanted),
            np.searchsorted(wanted, self.labels[kept]),
            None if self.sources is None else self.sources[kept],
            self.groups[wanted],
            self.roots[wanted],
        )
        return folder, kept

    def check_kind(self, spec: InputSpec) -> None:
        """Refuse a folder of another kind of frame than a network takes.

        Raises:
            DataError: it is of another kind.
        """
        if self.kind != spec.kind:
            raise DataError(f"{self.root} holds {self.kind}s; the network takes {spec.kind}s. Give another folder.")

    def content_sha256(self) -> str:
        """A hash over names and bytes of all files: two folders with the same hash hold the same data."""
        total = hashlib.sha256()
        for file in self.files:
            try:
                content = (self.root / file).read_bytes()
            except OSError:
                content = b""  # reading it as a frame says what is wrong
            total.update(os.fsencode(file) + b"\0" + hashlib.sha256(content).digest())
        return total.hexdigest()


def read_labelled_folder(
    root: Path, source_pattern: str | None = None, exclude: Sequence[str] = (), kind: str | None = None
) -> LabelledFolder:
    r"""The images, signals or recordings under `root` with their classes.

    Args:
        root: a folder of class folders, nested or not.
        source_pattern: a regular expression, searched in each file name; its group `source`, or else its first
            group, or
            else the whole match is the frame's source. Example: ``^(smear\d+)_``.
        exclude: shell patterns of class names to leave out, such as ``Greek/*``.
        kind: "image", "signal", "audio" or "text"; whichever the folder holds if not given.

    Raises:
        DataError: no such folder, no frames in it, files of both kinds, or a name in which the pattern finds nothing.
    """
    if not root.is_dir():
        seen = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root} {seen}; a folder of class folders was expected. Check the path.")
    found = {name: sorted(path.relative_to(root) for path in _files(root, SUFFIXES[name])) for name in SUFFIXES}
    kind = _kind(root, found) if kind is None else kind
    paths = found[kind]
    for pattern in exclude:
        kept = [p for p in paths if not fnmatch.fnmatchcase(p.parent.as_posix(), pattern)]
        if len(kept) == len(paths):
            raise DataError(
                f"--exclude {pattern!r} matches no class in {root}. Check its spelling, upper and lower case."
            )
        paths = kept
    if not paths:
        raise DataError(
            f"{root} holds no {kind}s ({_NAMED[kind]}) in class folders. Expected: {root.name}/CLASS/*"
            f"{_NAMED[kind].split(', ')[0].lower() if kind != 'image' else '.png'}."
        )
    if loose := [p for p in paths if p.parent == Path()]:
        raise DataError(
            f"{root / loose[0]} lies in no class folder ({len(loose)} such {kind}s). Move each into a folder "
            "named after its class."
        )
    names = [p.parent.as_posix() for p in paths]
    classes = sorted(set(names))
    for parent in {Path(c).parent.as_posix() for c in classes} & set(classes):
        raise DataError(
            f"{root / parent} holds {kind}s and class folders. Move the {kind}s into a class folder of their own."
        )
    parents = [Path(c).parent.as_posix() for c in classes]
    return LabelledFolder(
        root,
        kind,
        tuple(p.as_posix() for p in paths),
        tuple(classes),
        _number(names, classes),
        _sources([p.name for p in paths], source_pattern),
        _number(parents, sorted(set(parents))),
        np.zeros(len(classes), np.int64),
    )


def read_labelled_folders(
    roots: Sequence[Path], source_pattern: str | None = None, exclude: Sequence[str] = (), kind: str | None = None
) -> LabelledFolder:
    """The images or signals under several roots as one folder, below the folder that holds them all.

    A class's name begins with its root's, or where two have the same name with its path from there; no source is in two
    roots. For a single root what `read_labelled_folder` gives.

    Raises:
        DataError: as `read_labelled_folder`; a root holds another, or frames of another kind than the first.
    """
    if len(roots) == 1:
        return read_labelled_folder(roots[0], source_pattern, exclude, kind)
    folders = [read_labelled_folder(root, source_pattern, (), kind) for root in roots]
    places = [root.resolve() for root in roots]
    for place, folder in zip(places, folders, strict=True):
        if len(same := [other for other in places if place.is_relative_to(other)]) > 1:
            raise DataError(f"{place} was given together with {', '.join(map(str, same))}. Give each folder once.")
        if folder.kind != folders[0].kind:
            raise DataError(f"{folder.root} holds {folder.kind}s and {folders[0].root} {folders[0].kind}s.")
    above = Path(os.path.commonpath(places))
    paths = [place.relative_to(above) for place in places]
    prefixes = [Path(path.name) for path in paths]
    if len(set(prefixes)) < len(prefixes):
        prefixes = paths
    files: list[str] = []
    classes: list[str] = []
    parts: dict[str, list[npt.NDArray[np.int64]]] = {"labels": [], "sources": [], "groups": [], "roots": []}
    sources = groups = 0
    for number, folder in enumerate(folders):
        parts["labels"].append(folder.labels + len(classes))
        parts["groups"].append(folder.groups + groups)
        parts["roots"].append(folder.roots + number)
        groups += int(folder.groups.max()) + 1
        if folder.sources is not None:
            parts["sources"].append(folder.sources + sources)
            sources += int(folder.sources.max()) + 1
        files += [(paths[number] / file).as_posix() for file in folder.files]
        classes += [(prefixes[number] / name).as_posix() for name in folder.classes]
    whole = LabelledFolder(
        above,
        folders[0].kind,
        tuple(files),
        tuple(classes),
        np.concatenate(parts["labels"]),
        np.concatenate(parts["sources"]) if source_pattern is not None else None,
        np.concatenate(parts["groups"]),
        np.concatenate(parts["roots"]),
    )
    kept = np.ones(len(classes), bool)
    for pattern in exclude:
        left_out = np.array([fnmatch.fnmatchcase(name, pattern) for name in classes])
        if not left_out.any():
            raise DataError(
                f"--exclude {pattern!r} matches no class in {above}. Check its spelling, upper and lower case; with "
                "several folders a class's name begins with its folder's."
            )
        kept &= ~left_out
    return whole.select_classes(np.flatnonzero(kept))[0] if exclude else whole


_NAMED = {"image": "PNG, JPEG, BMP, WebP", "signal": ".npy, .csv", "audio": ".wav, .flac", "text": ".txt"}


def _kind(root: Path, found: Mapping[str, Sequence[Path]]) -> str:
    """The kind of frames that a folder's class folders hold; images where they hold none."""
    # A table beside the class folders is no frame.
    several = [name for name, paths in found.items() if any(path.parent != Path() for path in paths)]
    if len(several) > 1:  # notes beside pictures are no frames
        several = [name for name in several if name != "text"]
    if len(several) > 1:
        counts = " and ".join(f"{len(found[name])} {name}s ({found[name][0]}, …)" for name in several)
        raise DataError(f"{root} holds {counts}. Say which to take with --kind, or keep them apart.")
    return several[0] if several else "image"


def _files(root: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Files of these suffixes below a folder, links to folders followed; none that is hidden or in a hidden folder."""
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = sorted(name for name in below if not name.startswith(".") and real not in seen)
        if real not in seen:
            yield from (Path(folder, n) for n in files if Path(n).suffix.lower() in suffixes and n[0] != ".")
        seen.add(real)


def _number(names: Sequence[str], known: Sequence[str]) -> npt.NDArray[np.int64]:
    index = {name: i for i, name in enumerate(known)}
    return np.array([index[name] for name in names], dtype=np.int64)


def _sources(file_names: list[str], pattern: str | None) -> npt.NDArray[np.int64] | None:
    if pattern is None:
        return None
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise DataError(f"The source pattern {pattern!r} is not a regular expression: {error}.") from None
    found = []
    for name in file_names:
        match = regex.search(name)
        if match is None:
            raise DataError(
                f"The source pattern {pattern!r} matches nothing in {name!r}. It must find the source in every "
                "file name."
            )
        text = match.group("source") if "source" in regex.groupindex else match.group(min(1, regex.groups))
        found.append(text or "")
    return _number(found, sorted(set(found)))


def read_frames(
    folder: LabelledFolder,
    on_bad: Callable[[FrameError], None] | None = None,
    load: Callable[[Path], Frame] | None = None,
) -> Iterator[tuple[int, RawFrame]]:
    """Each frame of the folder: its index into `files` and its values, as the kind has them.

    All windows of a signal must have the channels of the first; recordings are brought to `SOUND_RATE`.

    Args:
        folder: what to read.
        on_bad: called for a frame that cannot be read, which is then left out; without it, the error is raised.
        load: reads a file, such as a network's own `InputSpec.load`.

    Raises:
        FrameError: a frame cannot be read; the message has its path.
    """
    channels: int | None = None
    for index, file in enumerate(folder.files):
        try:
            path = folder.root / file
            values = (_load(path, folder.kind, channels) if load is None else load(path)).values
        except FrameError as error:
            if on_bad is None:
                raise
            on_bad(error)
            continue
        channels = values.shape[-1]
        yield index, values


def _load(path: Path, kind: str, channels: int | None) -> Frame:
    if kind == "text":
        raise DataError(f"{path} is a text: only a bundle of texts can read it. Give one, or another folder.")
    if kind == "audio":
        from .sounds import load_sound

        return load_sound(path, SOUND_RATE)
    return load_frame(path) if kind == "image" else load_signal(path, channels)
