"""Packed bundles that lie: a bundle, whole, or one typed error; never more memory or time than the file is worth."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from edgefew_runtime import Bundle, BundleCorruptError, BundleError, BundleFormatError

from tests.hostile.conftest import SOAK, Child, sealed

Files = dict[str, bytes]

OPEN = """
import sys
from edgefew_runtime import *
for path in sys.argv[1:]:
    try: Bundle.open(path)
    except BundleError as error: print(error)
"""


@pytest.fixture
def packed(bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "packed.edgefew"
    Bundle.open(bundle).pack(path)
    return path


def archive(path: Path, entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands twice
        for name, content in entries:
            file.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def directory(content: bytes) -> int:
    """Where the ZIP's directory begins."""
    return int(struct.unpack("<L", content[-6:-2])[0])


def test_any_byte_changed_gives_the_same_bundle_or_an_error(packed: Path) -> None:
    content = packed.read_bytes()
    true = Bundle.open(packed)
    expected = {name: true._files[name] for name in sorted(true._files)}
    rng = random.Random(2)
    # The directory and the first header in full: that is where a ZIP lies.
    start = directory(content)
    places = range(len(content)) if SOAK else [*range(60), *rng.sample(range(start), 50), *range(start, len(content))]
    refusals = 0
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        packed.write_bytes(changed)
        try:
            opened = Bundle.open(packed)
        except BundleError:
            refusals += 1
        else:  # a date or another field that means nothing to us
            assert (opened.id, dict(opened._files)) == (true.id, expected)
    assert refusals > len(places) // 2


def test_truncated_anywhere_it_is_refused(packed: Path) -> None:
    content = packed.read_bytes()
    for length in {*range(0, len(content), len(content) // 100), *range(len(content) - 30, len(content))}:
        packed.write_bytes(content[:length])
        with pytest.raises(BundleError):
            Bundle.open(packed)


@pytest.mark.parametrize("more", [b"\0", b"x" * 100_000, b"PK\5\6" + b"\0" * 18])
def test_trailing_and_leading_data_are_refused(packed: Path, more: bytes) -> None:
    content = packed.read_bytes()
    for changed in (content + more, more + content):
        packed.write_bytes(changed)
        with pytest.raises(BundleError):
            Bundle.open(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_entries_are_refused(files: Files, tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "bomb", [*files.items(), ("zeros", bytes(10**6))], method)
    with pytest.raises(BundleFormatError, match="is compressed"):
        Bundle.open(path)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..", "C:\\x", "a\\..\\x", "\\\\host\\x", "./x", "a//b", "a/./b", "a/", "", "."],
)
def test_names_that_leave_the_bundle_or_have_two_spellings_are_refused(files: Files, tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "climbs", list(sealed(files | {name: b"x"}).items()))
    with pytest.raises(BundleFormatError, match=r"outside itself|no plain file's name"):
        Bundle.open(path)


@pytest.mark.parametrize("name", ["a\0b", "manifest.json\0.txt", "a\nb", "\x1b[2J", "\u202egnp"])
def test_names_that_cannot_be_shown_are_refused_and_escaped(files: Files, tmp_path: Path, name: str) -> None:
    # zipfile cuts a name at a NUL when it writes: the byte is put in afterwards.
    path = archive(tmp_path / "odd", [*files.items(), (name.replace("\0", "@"), b"x")])
    path.write_bytes(path.read_bytes().replace(name.replace("\0", "@").encode(), name.encode()))
    with pytest.raises(BundleFormatError, match=r"no plain file's name|a name twice") as refusal:
        Bundle.open(path)
    assert str(refusal.value).isprintable()


def test_a_name_twice_is_refused(files: Files, tmp_path: Path) -> None:
    path = archive(tmp_path / "twice", [*files.items(), ("manifest.json", b"{}")])
    with pytest.raises(BundleFormatError, match="a name twice"):
        Bundle.open(path)


def test_a_directory_of_thousands_or_millions_of_entries_is_refused_before_it_is_read(
    tmp_path: Path, child: Child
) -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    paths = []
    for count in (65_535, 65_536, 1_000_000):
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 65536, count % 65536, len(entry) * count, 4, 0)
        paths.append(tmp_path / f"{count}")
        paths[-1].write_bytes(b"PK\3\4" + entry * count + end)
    assert child(OPEN, *paths, megabytes=1024, seconds=10).count("its directory is not at its end, or is over") == 3


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path, child: Child) -> None:
    size, count = 64 << 20, 200
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo("000"), b"\0" * size)
    one = file.getvalue()
    start = directory(one)
    entry = one[start:-22]
    entries = b"".join(entry.replace(b"000", f"{i:03}".encode()) for i in range(count))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)
    path = tmp_path / "overlapping"
    path.write_bytes(one[:start] + entries + end)
    assert "more bytes than it has" in child(OPEN, path, megabytes=1024, seconds=10)


@pytest.mark.parametrize("size", [2**31, 2**32 - 2, 2**32 - 1])
def test_a_size_that_is_not_true_is_refused(packed: Path, size: int) -> None:
    content = bytearray(packed.read_bytes())
    start = directory(bytes(content))
    for header, at in ((0, 18), (start, 20)):
        changed = content.copy()
        changed[header + at : header + at + 8] = struct.pack("<LL", size, size)
        packed.write_bytes(changed)
        # In a file's own header zipfile passes it over, and so nothing is wrong: the directory counts.
        if header:
            with pytest.raises(BundleError):
                Bundle.open(packed)


@pytest.mark.parametrize(
    ("what", "at", "value"),
    [
        ("encrypted", 8, struct.pack("<H", 1)),
        ("strongly encrypted", 8, struct.pack("<H", 0x41)),
        ("patch data", 8, struct.pack("<H", 0x20)),
        ("needs a later version", 6, struct.pack("<H", 99)),
        ("another checksum", 16, b"\1\2\3\4"),
        ("another name than its header", 46, b"Z"),
        ("on another disk", 34, struct.pack("<H", 7)),
        ("header elsewhere", 42, struct.pack("<L", 1)),
        ("header far outside", 42, struct.pack("<L", 2**31)),
        ("name longer than the file", 28, struct.pack("<H", 65535)),
        ("extra longer than the file", 30, struct.pack("<H", 65535)),
        ("no entry", 0, b"XXXX"),
    ],
)
def test_a_directory_that_disagrees_with_the_headers_is_refused_or_changes_nothing(
    packed: Path, bundle: Path, what: str, at: int, value: bytes
) -> None:
    content = bytearray(packed.read_bytes())
    place = directory(bytes(content)) + at
    content[place : place + len(value)] = value
    packed.write_bytes(content)
    try:
        assert Bundle.open(packed).id == Bundle.open(bundle).id
    except BundleError:
        return
    assert what == "on another disk"


@pytest.mark.parametrize(
    ("at", "value"),
    [(4, 1), (6, 1), (8, 9), (10, 9), (8, 65535), (10, 65535), (20, 1), (20, 65535)],
)
def test_an_end_record_that_lies_is_refused(packed: Path, at: int, value: int) -> None:
    content = bytearray(packed.read_bytes())
    content[len(content) - 22 + at : len(content) - 22 + at + 2] = struct.pack("<H", value)
    packed.write_bytes(content)
    with pytest.raises(BundleCorruptError, match="its directory is not at its end"):
        Bundle.open(packed)


def test_an_end_record_that_zipfile_itself_fails_on_is_refused(packed: Path) -> None:
    # A fuzzer's find: zipfile.is_zipfile raises BadZipFile where a ZIP64 locator names several disks.
    content = packed.read_bytes()
    locator = struct.pack("<4sLQL", b"PK\6\7", 1, 0, 9)
    packed.write_bytes(content[:-22] + locator + content[-22:])
    with pytest.raises(BundleCorruptError):
        Bundle.open(packed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"PK",
        lambda: b"PK\3\4",
        lambda: b"PK\3\4" + bytes(30),
        lambda: b"PK\5\6" + bytes(18),
        lambda: b"\x7fELF" + bytes(100),
        lambda: random.Random(3).randbytes(100_000),
        lambda: b"PK\3\4" + random.Random(4).randbytes(100_000),
    ],
)
def test_what_is_no_zip_is_refused(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "thing"
    path.write_bytes(make())
    with pytest.raises(BundleError):
        Bundle.open(path)


def test_a_bundle_in_a_bundle_is_refused(packed: Path, files: Files, tmp_path: Path) -> None:
    path = archive(tmp_path / "nested", [*files.items(), ("inner.edgefew", packed.read_bytes())])
    with pytest.raises(BundleCorruptError, match="was added"):
        Bundle.open(path)


def test_a_place_that_a_bundle_cannot_be_packed_to_is_one_error(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    for place in (tmp_path, tmp_path / "no" / "folder", tmp_path / ("a" * 5000), Path("/proc/x"), bundle / "inside"):
        with pytest.raises(BundleError):
            opened.pack(place)


def test_a_full_disk_leaves_nothing_of_a_packed_bundle(bundle: Path, tmp_path: Path) -> None:
    size = sum(file.stat().st_size for file in bundle.iterdir())
    code = f"""
import resource, signal, sys
from edgefew_runtime import Bundle, BundleError
bundle = Bundle.open({str(bundle)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (1, 1000, {size // 2}, {size - 1}):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        bundle.pack({str(tmp_path / "full.edgefew")!r})
    except BundleError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{tmp_path / 'full.edgefew'} cannot be written: File too large."] * 4
    assert not list(tmp_path.iterdir())
