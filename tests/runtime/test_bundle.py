"""Bundles: opened whole and unchanged, or refused with the file that is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Bundle, BundleCorruptError, BundleError, BundleFormatError, SelfTestError
from edgefew_runtime.bundle import SUMS_FILE, sums_text
from edgefew_runtime.classifier import Classifier
from edgefew_runtime.file_hash import file_sha256
from edgefew_runtime.manifest import FORMAT

from tests.conftest import Cli


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy.edgefew"))


def seal(path: Path) -> None:
    """Write the hashes anew, as someone would who wants a changed bundle to pass."""
    files = {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    files.pop(SUMS_FILE)
    (path / SUMS_FILE).write_bytes(sums_text(files))


def edit_manifest(path: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest["additional_metadata"]["edgefew"])
    (path / "manifest.json").write_text(json.dumps(manifest))
    seal(path)


def test_a_bundle_says_what_it_is(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    assert (manifest.name, manifest.metric, manifest.input.size) == ("figures", "cosine", (16, 16))
    assert opened.id == hashlib.sha256((bundle / SUMS_FILE).read_bytes()).hexdigest()
    assert manifest.operating_points
    frames, embeddings = opened.golden()
    assert embeddings.shape == (len(frames), manifest.dimension)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_sha256sum_agrees(bundle: Path) -> None:
    for line in (bundle / SUMS_FILE).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest


def test_every_changed_file_is_refused_by_name(copy: Path) -> None:
    files = [f for f in copy.rglob("*") if f.is_file() and f.name != SUMS_FILE]
    assert len(files) == 12
    for file in files:
        content = file.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(BundleCorruptError, match=f"{file.relative_to(copy).as_posix()} .* other bytes"):
                Bundle.open(copy)
        file.write_bytes(content)
    Bundle.open(copy)


def test_changed_hashes_are_refused(copy: Path) -> None:
    sums = copy / SUMS_FILE
    sums.write_bytes(sums.read_bytes().replace(b"embed", b"embad", 1))
    with pytest.raises(BundleCorruptError):
        Bundle.open(copy)


def test_missing_and_added_files_are_refused(copy: Path) -> None:
    (copy / "extra.txt").write_text("more")
    with pytest.raises(BundleCorruptError, match=r"extra.txt .* was added"):
        Bundle.open(copy)
    (copy / "extra.txt").unlink()
    (copy / "golden.npz").unlink()
    with pytest.raises(BundleCorruptError, match=r"golden.npz .* is missing"):
        Bundle.open(copy)


def test_a_file_changed_after_opening_is_refused_when_it_is_asked_for(copy: Path) -> None:
    opened = Bundle.open(copy)
    opened.model("enroll")
    model = copy / "enroll/fp32/model.onnx"
    content = model.read_bytes()
    for changed in (content[:-1], content + b"\0", bytes([content[0] ^ 1]) + content[1:]):
        model.write_bytes(changed)
        with pytest.raises(BundleCorruptError, match=r"enroll/fp32/model\.onnx .* changed after"):
            opened.model("enroll")
    (copy / "golden.npz").unlink()
    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        opened.golden()
    model.write_bytes(content)
    assert opened.model("enroll") == content


def test_an_opened_directory_is_not_held_in_memory(copy: Path) -> None:
    large = 8 << 20
    (copy / "embed/fp32/model.onnx").write_bytes(bytes(large))
    seal(copy)
    tracemalloc.start()
    try:
        Bundle.open(copy)
        assert tracemalloc.get_traced_memory()[1] < large // 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 131_072, 300_000])
def test_the_hash_of_a_file_is_that_of_its_first_bytes(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(0).bytes(300_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        file.seek(7)
        assert file_sha256(file, size) == hashlib.sha256(content[:size]).hexdigest()
        assert file_sha256(file, 10**9) == hashlib.sha256(content).hexdigest()


def test_links_are_refused(copy: Path) -> None:
    target = copy / "report.json"
    moved = copy.parent / "elsewhere.json"
    target.rename(moved)
    target.symlink_to(moved)
    with pytest.raises(BundleCorruptError, match="a link"):
        Bundle.open(copy)


@pytest.mark.parametrize("what", ["nothing", "empty folder", "text file", "folder of pictures"])
def test_what_is_no_bundle_is_said(tmp_path: Path, what: str) -> None:
    path = tmp_path / "thing"
    if what == "text file":
        path.write_text("hello")
    elif what != "nothing":
        path.mkdir()
    if what == "folder of pictures":
        (path / "a.png").write_bytes(b"x")
    with pytest.raises(BundleFormatError, match=r"not a bundle|There is no bundle"):
        Bundle.open(path)


def test_a_later_format_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda ours: ours.update(format=2))
    with pytest.raises(BundleFormatError, match="format is 2"):
        Bundle.open(copy)


KINDS_TO_COME: list[dict[str, object]] = [
    {"kind": "video", "dtype": "uint8", "layout": "NTHWC", "frame_rate": 25, "window_seconds": 1.0},
    {"kind": "smell", "dtype": "float32", "layout": "NS", "sensors": 16},
]


@pytest.mark.parametrize("spec", KINDS_TO_COME, ids=lambda spec: spec["kind"])
def test_a_kind_of_input_to_come_is_refused_with_what_to_do(copy: Path, spec: dict[str, object], cli: Cli) -> None:
    """In today's format: a later version may take it without another format number."""
    edit_manifest(copy, lambda ours: ours.update(input=spec))
    assert json.loads((copy / "manifest.json").read_text())["additional_metadata"]["edgefew"]["format"] == FORMAT
    with pytest.raises(BundleFormatError, match=rf"inputs of kind '{spec['kind']}'.* Upgrade edgefew-runtime\."):
        Bundle.open(copy)
    result = cli("verify", copy)
    assert result.exit_code == 1
    assert "Upgrade edgefew-runtime" in result.output


def test_a_kind_to_come_may_bring_files_and_keys_of_its_own(copy: Path, bundle: Path) -> None:
    (copy / "embed" / "vocabulary.txt").write_text("a\nb\n")
    edit_manifest(copy, lambda ours: ours.update(tokens={"vocabulary": "embed/vocabulary.txt"}))
    with Classifier.open(copy) as classifier:
        assert classifier.bundle.manifest == Bundle.open(bundle).manifest
        assert classifier.bundle.id != Bundle.open(bundle).id


@pytest.mark.parametrize("key", ["embedding", "input", "operating_points", "lineage", "format"])
def test_a_manifest_that_lacks_a_part_is_refused(copy: Path, key: str) -> None:
    edit_manifest(copy, lambda ours: ours.pop(key))
    with pytest.raises(BundleFormatError, match=key):
        Bundle.open(copy)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    seal(copy)
    with pytest.raises(BundleFormatError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_a_graph_that_is_none_is_refused(copy: Path) -> None:
    (copy / "embed/fp32/model.onnx").write_bytes(b"not a graph")
    seal(copy)
    with pytest.raises(BundleCorruptError, match="cannot load the graph"):
        Classifier.open(copy)


def test_a_graph_that_computes_something_else_fails_its_self_test(copy: Path) -> None:
    with np.load(copy / "golden.npz") as golden:
        arrays = dict(golden)
    arrays["embeddings"] = np.roll(arrays["embeddings"], 1, axis=1)
    np.savez(copy / "golden.npz", **arrays)
    seal(copy)
    with pytest.raises(SelfTestError, match="computes other embeddings"):
        Classifier.open(copy)


def test_a_packed_bundle_is_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    one, two = tmp_path / "one.edgefew", tmp_path / "two.edgefew"
    opened.pack(one)
    packed = Bundle.open(one)
    assert packed.id == opened.id
    packed.pack(two)
    assert one.read_bytes() == two.read_bytes()
    with pytest.raises(BundleError, match="exists already"):
        opened.pack(one)


def test_a_changed_packed_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.edgefew"
    Bundle.open(bundle).pack(path)
    content = path.read_bytes()
    for place in range(50, len(content), len(content) // 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(BundleError):
            Bundle.open(path)
    for length in (0, 10, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:length])
        with pytest.raises(BundleError):
            Bundle.open(path)


def test_a_packed_file_that_bombs_climbs_or_repeats_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.edgefew"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"\0" * 10**7)
    with pytest.raises(BundleFormatError, match="is compressed"):
        Bundle.open(path)
    for name in ("../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), b"x")
        with pytest.raises(BundleFormatError, match="outside itself"):
            Bundle.open(path)
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a", b"x")
        archive.writestr("a", b"y")
    with pytest.raises(BundleFormatError, match="a name twice"):
        Bundle.open(path)


def test_onnxruntimes_own_package_reader_opens_it(bundle: Path) -> None:
    import onnxruntime

    context = getattr(onnxruntime, "ModelPackageContext", None)
    if context is None:
        pytest.skip("this onnxruntime has no ModelPackageContext")
    assert context(str(bundle)) is not None


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("embedding", {"dimension": 0}),
        ("embedding", {"dimension": 7}),
        ("embedding", {"scale": float("nan")}),
        ("embedding", {"scale": -10}),
        ("operating_points", {"threshold": float("nan")}),
        ("operating_points", {"threshold": "high"}),
        ("operating_points", {"surplus": 1}),
    ],
)
def test_a_manifest_that_lies_is_refused(copy: Path, part: str, changes: dict[str, object]) -> None:
    def lie(ours: dict) -> None:
        (ours[part][0] if part == "operating_points" else ours[part]).update(changes)

    edit_manifest(copy, lie)
    with pytest.raises(BundleError):
        Classifier.open(copy)


@pytest.mark.parametrize("what", ["no frames", "float frames", "flat frames", "flat embeddings", "another graph"])
def test_golden_vectors_and_graphs_that_are_none_are_refused(copy: Path, what: str) -> None:
    with np.load(copy / "golden.npz") as golden:
        arrays = dict(golden)
    if what == "no frames":
        arrays = {"embeddings": arrays["embeddings"][:0]}
    elif what == "float frames":
        arrays["frame_0"] = arrays["frame_0"].astype(np.float32)
    elif what == "flat frames":
        arrays["frame_0"] = arrays["frame_0"][0]
    elif what == "flat embeddings":
        arrays["embeddings"] = arrays["embeddings"][:, 0]
    else:
        shutil.copy(copy / "enroll/fp32/model.onnx", copy / "embed/fp32/model.onnx")
    np.savez(copy / "golden.npz", **arrays)
    seal(copy)
    with pytest.raises(BundleError):
        Classifier.open(copy)
