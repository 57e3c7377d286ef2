"""A bundle whose bytes, files or hashes were changed: refused, always by one typed error."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from edgefew_runtime import Bundle, BundleCorruptError, BundleError, BundleFormatError
from edgefew_runtime.bundle import GOLDEN_FILE, MAX_FILES, SIGNATURE_FILE, SUMS_FILE

from tests.hostile.conftest import SOAK, Child, Write, sealed

Files = dict[str, bytes]


def refused(path: Path) -> None:
    with pytest.raises(BundleError):
        Bundle.open(path)


def test_every_changed_byte_is_refused(files: Files, write: Write) -> None:
    path = write(files)
    rng = random.Random(1)
    tried = 0
    for name, content in files.items():
        # More of SHA256SUMS: the bundle's id is made of it, and nothing else vouches for it.
        number = min(len(content), 20_000 if SOAK else 300 if name == SUMS_FILE else 15)
        for place in rng.sample(range(len(content)), number):
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.randrange(8)
            (path / name).write_bytes(flipped)
            refused(path)
            tried += 1
        (path / name).write_bytes(content)
    Bundle.open(path)
    assert tried > 400


def test_an_end_of_line_changed_to_another_is_refused(files: Files, write: Write) -> None:
    path = write(files)
    sums = files[SUMS_FILE]
    for other in (b"\x0b", b"\x0c", b"\r", b"\x1c", b"\r\n", b"\n\n"):
        for changed in (sums.replace(b"\n", other, 1), sums[:-1] + other, sums.replace(b"\n", other)):
            (path / SUMS_FILE).write_bytes(changed)
            refused(path)


def test_each_file_truncated_emptied_or_grown_is_refused(files: Files, write: Write) -> None:
    path = write(files)
    for name, content in files.items():
        for changed in (b"", content[:1], content[:-1], content[: len(content) // 2], content + b"\0", content * 2):
            (path / name).write_bytes(changed)
            refused(path)
        (path / name).write_bytes(content)


def test_each_file_removed_renamed_or_in_another_case_is_refused(files: Files, write: Write) -> None:
    path = write(files)
    for name in files:
        other_case = Path(name).with_name(Path(name).name.swapcase()).as_posix()
        for other in ("elsewhere.bin", "embed/elsewhere.bin", f"{name}~", other_case):
            (path / name).rename(path / other)
            refused(path)
            (path / other).rename(path / name)
    Bundle.open(path)


def test_each_file_replaced_by_a_link_a_pipe_or_a_folder_is_refused(files: Files, write: Write) -> None:
    path = write(files)
    for name, content in files.items():
        file = path / name
        kept = path.parent / "kept"
        kept.write_bytes(content)
        makers: list[Callable[[], None]] = [
            lambda file=file, kept=kept: file.symlink_to(kept),  # type: ignore[misc]
            lambda file=file: os.mkfifo(file),  # type: ignore[misc]
            lambda file=file: file.mkdir(),  # type: ignore[misc]
            lambda file=file: file.symlink_to("/dev/zero"),  # type: ignore[misc]
        ]
        for make in makers:
            file.unlink()
            make()
            refused(path)
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()
            file.write_bytes(content)
    Bundle.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda sums: b"\n" + sums,
        lambda sums: sums + b"\n",
        lambda sums: sums.rstrip(b"\n"),
        lambda sums: b"".join(reversed(sums.splitlines(keepends=True))),
        lambda sums: sums.replace(b"\n", b"\r\n"),
        lambda sums: sums.upper(),
        lambda sums: sums.replace(b"  ", b" *"),
        lambda sums: sums.replace(b"  ", b"  ./"),
        lambda sums: sums + sums.splitlines(keepends=True)[0],
        lambda sums: b"0" * 64 + sums[64:].partition(b"\n")[0] + b"\n" + sums,
        lambda sums: b"\xef\xbb\xbf" + sums,
        lambda sums: sums.decode().encode("utf-16"),
        lambda _: b"",
    ],
)
def test_hashes_have_one_way_of_being_written(files: Files, write: Write, change: Callable[[bytes], bytes]) -> None:
    path = write(files | {SUMS_FILE: change(files[SUMS_FILE])})
    with pytest.raises(BundleCorruptError, match="changed or damaged after export"):
        Bundle.open(path)


def test_files_that_are_not_listed_are_refused_wherever_they_lie(files: Files, write: Write) -> None:
    for name in ("x", "embed/x", "embed/fp32/x", ".hidden", "a/b/c/d/e", "manifest.json.bak", "SHA256SUMS.old"):
        with pytest.raises(BundleCorruptError, match="was added"):
            Bundle.open(write(files | {name: b"x"}))


def test_a_signature_is_no_part_of_the_content(files: Files, write: Write) -> None:
    assert Bundle.open(write(files | {SIGNATURE_FILE: b"x"})).id == Bundle.open(write(files)).id


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"\x1b[2J", b"\xe2\x80\xaegnp", b"\xed\xa0\x80"])
def test_a_files_name_that_cannot_be_shown_is_refused_and_escaped(files: Files, write: Write, name: bytes) -> None:
    path = write(files)
    Path(os.fsdecode(os.fsencode(path) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(BundleCorruptError, match="has a name that no file of a bundle has") as refusal:
        Bundle.open(path)
    assert str(refusal.value).isprintable()


def test_folders_in_folders_by_the_thousand_are_refused(files: Files, write: Write) -> None:
    path = write(files)
    here = os.open(path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        refused(path)
    finally:  # pytest's own clearing away would run out of stack in it
        subprocess.run(["rm", "-rf", path], check=True)


def test_more_files_or_folders_than_a_bundle_has_are_refused(write: Write) -> None:
    for names in ([f"{i}" for i in range(MAX_FILES + 1)], [f"{i}/x" for i in range(MAX_FILES + 1)]):
        with pytest.raises(BundleFormatError, match="it is not a bundle"):
            Bundle.open(write(sealed(dict.fromkeys(names, b""))))


def test_a_bundle_larger_than_the_limit_is_refused_before_it_is_read(files: Files, write: Write, child: Child) -> None:
    path = write(files)
    with (path / "golden.npz").open("r+b") as file:
        file.truncate(3 << 30)  # sparse: takes no room
    code = "import sys; from edgefew_runtime import *\ntry: Bundle.open(sys.argv[1])\nexcept BundleError as e: print(e)"
    assert "bytes" in child(code, path, megabytes=1024)


def test_a_bundle_that_does_not_fit_into_memory_is_one_error(files: Files, write: Write, child: Child) -> None:
    path = write(files)
    with (path / GOLDEN_FILE).open("r+b") as file:
        file.truncate(1100 << 20)  # sparse: takes no room
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    listed = [line for line in files[SUMS_FILE].decode().splitlines() if not line.endswith(f"  {GOLDEN_FILE}")]
    by_name = sorted([*listed, f"{digest}  {GOLDEN_FILE}"], key=lambda line: line.partition("  ")[2])
    (path / SUMS_FILE).write_text("".join(f"{line}\n" for line in by_name))
    code = "import sys; from edgefew_runtime import *\ntry: Bundle.open(sys.argv[1]).golden()\n"
    code += "except BundleError as e: print(e)"
    assert "memory" in child(code, path, megabytes=1024)


@pytest.mark.parametrize(
    "path", ["", "/", "/dev/zero", "/dev/null", "/dev/stdin", "a" * 5000, "a\0b", "\ud800", "manifest.json/x", "/proc"]
)
def test_a_path_that_is_no_bundles_is_one_error(path: str) -> None:
    refused(Path(path))


def test_a_pipe_as_a_bundle_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="no regular file"):
        Bundle.open(tmp_path / "pipe")
