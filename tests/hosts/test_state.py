"""The state file of hosts: nothing is lost on the way, and nothing that cannot be is taken in."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from edgefew_runtime import (
    Bundle,
    ClassConflictError,
    Classifier,
    Example,
    Gallery,
    GalleryError,
    GalleryFormatError,
    GalleryMismatchError,
    head,
)
from edgefew_runtime.commands import edgefew
from edgefew_runtime.host_state import HostState, read_state, write_state
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import draw_class

BUNDLE, DIMENSION = "ab" * 32, 8
HEADER = 8 + 32 + 12


def example(number: int, dimension: int = DIMENSION) -> Example:
    row = np.random.default_rng(number).standard_normal((1, dimension)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}.png", hashlib.sha256(str(number).encode()).hexdigest())


def state_of(*numbers: list[int]) -> HostState:
    return HostState(BUNDLE, DIMENSION, {f"class {i}": tuple(map(example, n)) for i, n in enumerate(numbers)})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(edgefew, ["state", *map(str, arguments)])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10_000), min_size=1, max_size=6, unique=True), max_size=5), st.integers(1, 40))
def test_a_gallery_comes_back_from_the_file_to_the_bit(classes: list[list[int]], dimension: int) -> None:
    with Gallery(None, BUNDLE, dimension) as gallery, Gallery(None, BUNDLE, dimension) as copy:
        for index, numbers in enumerate(classes):
            gallery.enroll(f"class {index}", [example(number + 10_001 * index, dimension) for number in numbers])
        data = HostState.of(gallery).to_bytes()
        HostState.from_bytes(data).enroll_into(copy)
        assert copy.state().labels == gallery.state().labels
        assert copy.state().sums.tobytes() == gallery.state().sums.tobytes()
        assert copy.state().counts.tolist() == gallery.state().counts.tolist()
        assert HostState.of(copy).to_bytes() == data
        for label, examples in gallery.content().items():
            assert [(e.source, e.source_sha256) for e in copy.content()[label]] == [
                (e.source, e.source_sha256) for e in examples
            ]


def test_the_layout_is_the_documented_one() -> None:
    data = state_of([1, 2], [3]).to_bytes()
    assert data[:8] == b"EFSTATE1"
    assert data[8:40].hex() == BUNDLE
    assert struct.unpack_from("<III", data, 40) == (DIMENSION, 2, 3)
    sums = np.frombuffer(data, "<f4", 2 * DIMENSION, HEADER).reshape(2, DIMENSION)
    assert (sums[0] == example(1).embedding + example(2).embedding).all()
    assert (sums[1] == example(3).embedding).all()
    counts = HEADER + 4 * 2 * DIMENSION
    assert np.frombuffer(data, "<f4", 2, counts).tolist() == [2, 1]
    classes = counts + 8 + 4 * 3 * DIMENSION
    assert np.frombuffer(data, "<u4", 3, classes).tolist() == [0, 0, 1]
    assert data[classes + 12 :][:32].hex() == example(1).source_sha256
    assert data.endswith(b"\x05\x00\x00\x003.png")


Change = Callable[[bytearray], None]


def put(place: int, value: bytes) -> Change:
    def change(data: bytearray) -> None:
        data[place : place + len(value)] = value

    return change


def cut(data: bytearray) -> None:
    del data[-1]


def extend(data: bytearray) -> None:
    data += b"\0"


SUMS = HEADER
COUNTS = SUMS + 4 * 2 * DIMENSION
ROWS = COUNTS + 4 * 2
CLASSES = ROWS + 4 * 3 * DIMENSION
HASHES = CLASSES + 4 * 3
NAMES = HASHES + 32 * 3
HUGE = struct.pack("<I", 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put(0, b"EFSTATE2"), "does not begin with EFSTATE1"),
        (put(40, bytes(4)), "no components"),
        (put(40, HUGE), "cut off"),
        (put(44, HUGE), "cut off"),
        (put(48, HUGE), "cut off"),
        (put(40, 3 * HUGE), "cut off"),
        (cut, "cut off"),
        (extend, "1 bytes follow its end"),
        (put(SUMS, struct.pack("<f", 0.25)), "not those of its examples"),
        (put(SUMS, struct.pack("<f", float("nan"))), "not those of its examples"),
        (put(COUNTS, struct.pack("<f", 3)), "not those of its examples"),
        (put(ROWS, struct.pack("<f", float("nan"))), "no unit vector"),
        (put(ROWS, struct.pack("<f", float("inf"))), "no unit vector"),
        (put(ROWS, struct.pack("<f", 1e30)), "no unit vector"),
        (put(ROWS, bytes(4 * DIMENSION)), "no unit vector"),
        (put(CLASSES, struct.pack("<I", 2)), "is of class 2, and there are 2"),
        (put(CLASSES, struct.pack("<I", 1)), "not those of its examples"),
        (put(NAMES, HUGE), "4,294,967,295 bytes, 4,096 are the most"),
        (put(NAMES + 4, b"\xff"), "utf-8"),
        (put(NAMES + 4, b"\n\x1b"), "cannot be shown"),
        (put(NAMES + 4, b" " * 7), "cannot be read"),
        (put(NAMES + 4, b"class 1"), "same name"),
    ],
)
def test_a_state_that_cannot_be_is_refused_in_one_line(tmp_path: Path, change: Change, told: str) -> None:
    data = bytearray(state_of([1, 2], [3]).to_bytes())
    change(data)
    file = tmp_path / "host.state"
    file.write_bytes(data)
    with pytest.raises(GalleryFormatError, match=told) as caught:
        read_state(file, BUNDLE, DIMENSION)
    assert "\n" not in str(caught.value)


def test_every_byte_and_every_length_is_read_with_care() -> None:
    data = state_of([1, 2], [3]).to_bytes()
    for place in range(len(data)):
        for flipped in (data[:place], data[:place] + bytes([data[place] ^ 0x81]) + data[place + 1 :]):
            try:
                read = HostState.from_bytes(flipped)
            except GalleryFormatError:
                continue
            # Only the bundle's id, hashes and names can change and still make sense.
            assert read.sums.tobytes() == data[SUMS:COUNTS]
            assert len(flipped) == len(data)


def test_a_class_without_examples_is_refused() -> None:
    empty = HostState(BUNDLE, DIMENSION, {"nothing": ()})
    with pytest.raises(GalleryFormatError, match="not those of its examples"):
        HostState.from_bytes(empty.to_bytes())


def test_a_frame_twice_in_a_class_is_refused() -> None:
    twice = HostState(BUNDLE, DIMENSION, {"stop": (example(1), example(1))})
    with pytest.raises(GalleryFormatError, match="twice in one class"):
        HostState.from_bytes(twice.to_bytes())


def test_a_frame_without_a_hash_is_known_by_its_embedding() -> None:
    data = bytearray(state_of([1, 2], [3]).to_bytes())
    data[HASHES : HASHES + 64] = bytes(64)
    first, second = HostState.from_bytes(bytes(data)).content["class 0"]
    assert first.source_sha256 == hashlib.sha256(first.embedding.tobytes()).hexdigest() != second.source_sha256


def test_another_spelling_of_a_letter_is_the_same_name() -> None:
    spelled = HostState(BUNDLE, DIMENSION, {"Ko\u0308ln": (example(1),)})
    assert list(HostState.from_bytes(spelled.to_bytes()).content) == ["K\u00f6ln"]


def test_a_sum_that_float32_cannot_hold_is_not_exported() -> None:
    row = np.eye(1, DIMENSION, dtype=np.float32)[0]
    many = [Example(row, str(i), f"{i:064x}") for i in range(257)]
    assert HostState(BUNDLE, DIMENSION, {"stop": many[:256]}).to_bytes()
    with pytest.raises(GalleryError, match="passes 256"):
        HostState(BUNDLE, DIMENSION, {"stop": many}).to_bytes()


def test_a_long_source_keeps_its_end() -> None:
    long = Example(example(1).embedding, "é" * 5000 + "/last.png", "0" * 63 + "1")
    (read,) = HostState.from_bytes(HostState(BUNDLE, DIMENSION, {"a": (long,)}).to_bytes()).content["a"]
    assert read.source.endswith("é/last.png")
    assert len(read.source.encode()) <= 4096


def test_another_bundle_a_pipe_a_folder_and_no_file_are_refused(tmp_path: Path) -> None:
    file, pipe = tmp_path / "host.state", tmp_path / "pipe"
    write_state(state_of([1]), file)
    os.mkfifo(pipe)
    with pytest.raises(GalleryMismatchError, match="another bundle"):
        read_state(file, "cd" * 32, DIMENSION)
    with pytest.raises(GalleryMismatchError, match="another bundle"):
        read_state(file, BUNDLE, DIMENSION + 1)
    for path in (pipe, tmp_path, tmp_path / "none"):
        with pytest.raises(GalleryError, match="cannot be read"):
            read_state(path, BUNDLE, DIMENSION)


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "host.state"
    with file.open("wb") as sparse:
        sparse.truncate((1 << 28) + 1)
    with pytest.raises(GalleryError, match="268,435,456 are the most"):
        read_state(file, BUNDLE, DIMENSION)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "host.state"
    file.write_bytes(b"mine")
    with pytest.raises(GalleryError, match="exists already"):
        write_state(state_of([1]), file)
    assert file.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [file]


def test_a_conflict_in_one_class_enrolls_none(gallery_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("other", [example(3)])
        before = gallery.state().labels
        with pytest.raises(ClassConflictError):
            state_of([1, 2], [3]).enroll_into(gallery)
        assert gallery.state().labels == before


def test_a_picture_in_two_classes_of_a_host_enrolls_none(gallery_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        with pytest.raises(ClassConflictError, match=r"is enrolled as .* and as .* in the state file"):
            state_of([1, 2], [2]).enroll_into(gallery)
        assert gallery.classes() == []


@pytest.fixture
def taught(bundle: Path, gallery_path: Path) -> Path:
    with Classifier.open(bundle, gallery_path) as classifier:
        classifier.enroll("leaf", [np.asarray(draw_class(60, 0, take)) for take in range(2)])
        classifier.enroll("stone", [np.asarray(draw_class(61, 0, 0))])
        classifier.reject("stone", [np.asarray(draw_class(62, 0, 0))])
    return gallery_path


def test_export_and_import_by_command(bundle: Path, taught: Path, tmp_path: Path) -> None:
    file, copy = tmp_path / "host.state", tmp_path / "copy.gallery"
    exported = run("export", file, "--gallery", taught)
    assert exported.exit_code == 0, exported.output
    assert exported.output == f"{file}: leaf (2 examples), stone (1 example)\n  left behind: 1 rejected, 0 strangers\n"
    imported = run("import", bundle, file, "--gallery", copy, "--json")
    assert imported.exit_code == 0, imported.output
    assert '"added": {"leaf": 2, "stone": 1}' in imported.output
    again = run("import", bundle, file, "--gallery", copy)
    assert again.output == f"{file}: nothing new\n"
    opened = Bundle.open(bundle)
    with Gallery(taught) as first, Gallery(copy, opened.id, opened.manifest.dimension) as second:
        assert first.state().sums.tobytes() == second.state().sums.tobytes()
        assert second.problems() == []


def test_a_hostile_state_leaves_no_gallery_behind(bundle: Path, tmp_path: Path) -> None:
    file, gallery = tmp_path / "host.state", tmp_path / "new.gallery"
    file.write_bytes(b"EFSTATE1" + b"\xff" * 100)
    result = run("import", bundle, file, "--gallery", gallery)
    assert result.exit_code == 1
    assert "The state file cannot be read" in result.output
    assert not gallery.exists()
