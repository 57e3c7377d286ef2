"""A labelled folder: a class is a folder that holds images.

Folders may be nested (`Alphabet/character01/*.png`): the class is then `Alphabet/character01` and `Alphabet` is its
group. A pattern on the file name tells the *source* of an image (design family, smear, track, speaker): support
and query of an episode never share one.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import DataError, FrameError
from .frames import IMAGE_SUFFIXES, Pixels, load_frame


@dataclass(frozen=True)
class LabelledFolder:
    """The images of a folder with their classes and sources; `n` images, `c` classes.

    Attributes:
        root: the folder.
        files: `n` paths, sorted, relative to the root.
        classes: `c` names, sorted.
        labels: int64 [n], index into `classes`.
        sources: int64 [n], a number for each source; None if no pattern was given, and then every image stands for
            itself.
        groups: int64 [c], a number for each class's parent folder.
    """

    root: Path
    files: tuple[str, ...]
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None
    groups: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    def select_classes(
        self, wanted: Sequence[int] | npt.NDArray[np.int64]
    ) -> tuple[LabelledFolder, npt.NDArray[np.int64]]:
        """The same folder with only these classes, and which images (index into `files`) it kept."""
        wanted = np.sort(np.asarray(wanted, dtype=np.int64))
        kept = np.flatnonzero(np.isin(self.labels, wanted))
        folder = LabelledFolder(
            self.root,
            tuple(self.files[i] for i in kept),
            tuple(self.classes[i] for i in wanted),
            np.searchsorted(wanted, self.labels[kept]),
            None if self.sources is None else self.sources[kept],
            self.groups[wanted],
        )
        return folder, kept

    def content_sha256(self) -> str:
        """A hash over names and bytes of all images: two folders with the same hash hold the same data."""
        total = hashlib.sha256()
        for file in self.files:
            try:
                content = (self.root / file).read_bytes()
            except OSError:
                content = b""  # reading it as an image says what is wrong
            total.update(os.fsencode(file) + b"\0" + hashlib.sha256(content).digest())
        return total.hexdigest()


def read_labelled_folder(root: Path, source_pattern: str | None = None, exclude: Sequence[str] = ()) -> LabelledFolder:
    r"""The images under `root` with their classes.

    Args:
        root: a folder of class folders, nested or not.
        source_pattern: a regular expression, searched in each file name; its group `source`, or else its first
            group, or
            else the whole match is the image's source. Example: ``^(smear\d+)_``.
        exclude: shell patterns of class names to leave out, such as ``Greek/*``.

    Raises:
        DataError: no such folder, no images in it, or a name in which the pattern finds nothing.
    """
    if not root.is_dir():
        seen = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root} {seen}; a folder of class folders was expected. Check the path.")
    paths = sorted(path.relative_to(root) for path in _image_files(root))
    for pattern in exclude:
        kept = [p for p in paths if not fnmatch.fnmatchcase(p.parent.as_posix(), pattern)]
        if len(kept) == len(paths):
            raise DataError(
                f"--exclude {pattern!r} matches no class in {root}. Check its spelling, upper and lower case."
            )
        paths = kept
    if not paths:
        raise DataError(
            f"{root} holds no images (PNG, JPEG, BMP, WebP) in class folders. Expected: {root.name}/CLASS/*.png."
        )
    if loose := [p for p in paths if p.parent == Path()]:
        raise DataError(
            f"{root / loose[0]} lies in no class folder ({len(loose)} such images). Move each into a folder "
            "named after its class."
        )
    names = [p.parent.as_posix() for p in paths]
    classes = sorted(set(names))
    for parent in {Path(c).parent.as_posix() for c in classes} & set(classes):
        raise DataError(
            f"{root / parent} holds images and class folders. Move the images into a class folder of their own."
        )
    parents = [Path(c).parent.as_posix() for c in classes]
    return LabelledFolder(
        root,
        tuple(p.as_posix() for p in paths),
        tuple(classes),
        _number(names, classes),
        _sources([p.name for p in paths], source_pattern),
        _number(parents, sorted(set(parents))),
    )


def _image_files(root: Path) -> Iterator[Path]:
    """Image files below a folder, links to folders followed; not those whose own or whose folder's name is hidden."""
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = sorted(name for name in below if not name.startswith(".") and real not in seen)
        if real not in seen:
            yield from (Path(folder, n) for n in files if Path(n).suffix.lower() in IMAGE_SUFFIXES and n[0] != ".")
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
    folder: LabelledFolder, on_bad: Callable[[FrameError], None] | None = None
) -> Iterator[tuple[int, Pixels]]:
    """Each image of the folder: its index into `files` and its pixels, uint8 [H, W, 3].

    Args:
        folder: what to read.
        on_bad: called for an image that cannot be read, which is then left out; without it, the error is raised.

    Raises:
        FrameError: an image cannot be read; the message has its path.
    """
    for index, file in enumerate(folder.files):
        try:
            yield index, load_frame(folder.root / file).pixels
        except FrameError as error:
            if on_bad is None:
                raise
            on_bad(error)
