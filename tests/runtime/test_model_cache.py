"""The cache of optimised graphs: it saves work, and nothing that is wrong with it changes an answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from edgefew_runtime import Bundle, EdgeFewError, ProviderError, SelfTestError
from edgefew_runtime.loading import embedder_key, load_embedder, passed_key
from edgefew_runtime.model_cache import MAX_ENTRIES, ModelCache, cache_folder, cache_key
from edgefew_runtime.processor import accelerator_identity, physical_cores, processor_identity, processor_name
from edgefew_runtime.session import OrtSession, Session, runtime_identity, thread_count, write_optimized

Vectors = npt.NDArray[np.float32]
FRAMES = np.random.default_rng(3).integers(0, 256, (3, 40, 50, 3), np.uint8)


class Counted:
    """Loads as `load_embedder` does, and counts what is run and optimised. `wrong` makes every embedding wrong."""

    def __init__(self, wrong: bool = False) -> None:
        self.runs, self.optimized, self.wrong = 0, 0, wrong
        self.loaded: list[bool] = []

    def open_session(self, model: bytes | Path, *, optimized: bool, **settings: Any) -> Session:
        self.loaded.append(optimized)
        session = OrtSession(model, optimized=optimized, **settings)
        counted = self

        class Watched:
            provider = session.provider

            def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
                counted.runs += 1
                return [-out if counted.wrong else out for out in session.run(inputs)]

        return Watched()

    def optimize(self, model: bytes, file: Path) -> None:
        self.optimized += 1
        write_optimized(model, file)

    def load(self, bundle: Bundle, cache: Path | None, **settings: Any) -> Session:
        return load_embedder(bundle, cache=cache, open_session=self.open_session, optimize=self.optimize, **settings)


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def expected(opened: Bundle) -> Vectors:
    return OrtSession(opened.model("embed")).run({"frames": FRAMES})[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache"


@pytest.fixture(scope="module")
def filled(opened: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the bundle's graph in it; to be copied, not changed."""
    cache = tmp_path_factory.mktemp("filled") / "cache"
    load_embedder(opened, cache=cache)
    return cache


@pytest.fixture
def entry(filled: Path, folder: Path) -> Path:
    shutil.copytree(filled, folder)
    (file,) = folder.iterdir()
    return file


def embed(session: Session) -> Vectors:
    return session.run({"frames": FRAMES})[0]


def test_the_folder_is_the_one_given_then_the_environments_then_the_users(tmp_path: Path) -> None:
    assert cache_folder(tmp_path, {"EDGEFEW_CACHE": "/elsewhere"}) == tmp_path
    assert cache_folder(None, {"EDGEFEW_CACHE": "/elsewhere", "XDG_CACHE_HOME": "/xdg"}) == Path("/elsewhere")
    assert cache_folder(None, {"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/edgefew")
    assert cache_folder(None, {"XDG_CACHE_HOME": "not/absolute"}) == Path.home() / ".cache" / "edgefew"
    assert cache_folder(None, {"EDGEFEW_CACHE": ""}) is None
    assert cache_folder("", {}) is None


def test_the_key_holds_all_that_the_graph_depends_on() -> None:
    parts = ["bundle", "fp32", "onnxruntime 1.32.0", "avx2"]
    keys = {embedder_key(*parts)}
    for position in range(4):
        changed = [part + "x" * (i == position) for i, part in enumerate(parts)]
        keys.add(embedder_key(*changed))
    assert len(keys) == 5
    assert embedder_key(*parts) in keys
    assert cache_key("ab", "c") != cache_key("a", "bc")
    assert runtime_identity().split()[0] == "onnxruntime"
    assert processor_identity() == processor_identity()
    assert processor_name()
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)


def test_a_profile_sets_the_threads_and_threads_override_it() -> None:
    assert thread_count(None) == 1
    assert thread_count(None, "latency") == physical_cores()
    assert thread_count(3, "latency") == 3
    with pytest.raises(EdgeFewError, match=r"no profile 'fast'; there are: power, latency"):
        OrtSession(b"", profile="fast")
    with pytest.raises(EdgeFewError, match="0 threads were asked for"):
        OrtSession(b"", threads=0)


def test_the_second_opening_neither_optimises_nor_tests(opened: Bundle, folder: Path, expected: Vectors) -> None:
    first, second = Counted(), Counted()
    golden = len(opened.golden()[0])
    first.load(opened, folder)
    assert (first.optimized, first.runs, first.loaded) == (1, golden, [True])
    session = second.load(opened, folder)
    assert (second.optimized, second.runs, second.loaded) == (0, 0, [True])
    np.testing.assert_allclose(embed(session), expected, rtol=0, atol=1e-6)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 1


def test_an_optimised_graph_is_run_as_it_is(entry: Path) -> None:
    session = OrtSession(entry, optimized=True)
    # No output tells whether it was optimised once more; only the time would.
    level = session._session.get_session_options().graph_optimization_level
    assert level.name == "ORT_DISABLE_ALL"


@pytest.mark.parametrize("settings", [{"profile": "latency"}, {"threads": 2}])
def test_an_entry_serves_any_number_of_threads(
    entry: Path, opened: Bundle, expected: Vectors, settings: dict[str, Any]
) -> None:
    counted = Counted()
    session = counted.load(opened, entry.parent, **settings)
    assert (counted.optimized, counted.runs) == (0, 0)
    np.testing.assert_allclose(embed(session), expected, rtol=0, atol=1e-6)


def test_without_a_cache_the_test_runs_at_each_opening(opened: Bundle, tmp_path: Path) -> None:
    for _ in range(2):
        counted = Counted()
        counted.load(opened, None)
        assert (counted.optimized, counted.runs, counted.loaded) == (0, len(opened.golden()[0]), [False])


class OnAnAccelerator(Counted):
    """As if this machine had another provider."""

    def open_session(self, model: bytes | Path, *, optimized: bool, provider: str = "cpu", **settings: Any) -> Session:
        session = super().open_session(model, optimized=optimized, **settings)
        session.provider = "CUDAExecutionProvider"  # type: ignore[misc]
        return session


def test_on_another_provider_the_test_is_remembered(opened: Bundle, folder: Path) -> None:
    golden = len(opened.golden()[0])
    runs = []
    for _ in range(2):
        counted = OnAnAccelerator()
        counted.load(opened, folder, provider="cuda")
        assert counted.loaded == [False]
        runs.append(counted.runs)
    assert runs == [golden, 0]
    (note,) = folder.iterdir()
    assert (note.suffix, note.stat().st_size) == (".passed", 0)
    # It stands for that provider alone: on the CPU, the graph is tested.
    counted = Counted()
    counted.load(opened, folder)
    assert counted.runs == golden


def test_a_test_that_failed_is_not_remembered(opened: Bundle, folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(SelfTestError):
            OnAnAccelerator(wrong=True).load(opened, folder, provider="cuda")
    assert not folder.exists()


def test_what_others_may_have_written_remembers_nothing(opened: Bundle, folder: Path) -> None:
    OnAnAccelerator().load(opened, folder, provider="cuda")
    (note,) = folder.iterdir()
    folder.chmod(0o777)
    counted = OnAnAccelerator()
    counted.load(opened, folder, provider="cuda")
    assert counted.runs > 0
    folder.chmod(0o700)
    note.unlink()
    note.symlink_to(folder.parent / "elsewhere")
    counted = OnAnAccelerator()
    counted.load(opened, folder, provider="cuda")
    assert counted.runs > 0
    assert not (folder.parent / "elsewhere").exists()


def test_the_key_of_what_passed_holds_all_that_it_depends_on(tmp_path: Path) -> None:
    parts = ["bundle", "fp32", "CUDAExecutionProvider", "onnxruntime-gpu 1.32.0", "driver 550"]
    changed = {passed_key(*(part + "x" * (i == place) for i, part in enumerate(parts))) for place in range(5)}
    assert len(changed | {passed_key(*parts), embedder_key("bundle", "fp32", "onnxruntime-gpu 1.32.0", "x")}) == 7
    assert accelerator_identity(tmp_path) == ""
    card = tmp_path / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54\nGCC version: 12\n")
    (card / "information").write_text("Model: \t NVIDIA H100\nIRQ: 44\n")
    assert accelerator_identity(tmp_path) == (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54\nModel: \t NVIDIA H100"
    )


def test_only_so_many_notes_are_kept(folder: Path) -> None:
    notes = ModelCache(folder)
    for number in range(MAX_ENTRIES + 3):
        notes.remember(cache_key(str(number)))
    assert len(list(folder.iterdir())) == MAX_ENTRIES
    assert not notes.remembers(cache_key("never"))
    assert not ModelCache(folder / "nowhere").remembers(cache_key("0"))


def test_an_unknown_provider_is_told_and_leaves_no_entry(opened: Bundle, folder: Path) -> None:
    with pytest.raises(ProviderError, match="'npu' is not there"):
        load_embedder(opened, provider="npu", cache=folder)
    assert not folder.exists()


def test_a_failed_test_is_never_remembered(opened: Bundle, folder: Path) -> None:
    for _ in range(2):
        broken = Counted(wrong=True)
        with pytest.raises(SelfTestError, match="computes other embeddings here"):
            broken.load(opened, folder)
        assert broken.runs == 2 * len(opened.golden()[0])
        assert list(folder.iterdir()) == []
    healthy = Counted()
    healthy.load(opened, folder)
    assert healthy.runs == len(opened.golden()[0])


def changes(content: bytes) -> Iterator[tuple[str, bytes]]:
    for part in range(16):
        at = part * len(content) // 16 + 5
        yield f"flipped at {part}/16", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    yield "last byte flipped", content[:-1] + bytes([content[-1] ^ 0x80])
    yield "truncated", content[: len(content) // 2]
    yield "one byte more", content + b"\0"
    yield "emptied", b""


@pytest.mark.parametrize("descriptors", ["/proc/self/fd", "/nowhere"])
def test_whatever_was_changed_is_ignored(entry: Path, descriptors: str) -> None:
    cache, (key, _, _) = ModelCache(entry.parent, Path(descriptors)), entry.name.partition("-")
    content = entry.read_bytes()
    with cache.find(key) as graph:
        assert graph is not None
        assert (graph if isinstance(graph, bytes) else graph.read_bytes()) == content
    with cache.find("0" * 64) as graph:
        assert graph is None
    for what, changed in changes(content):
        entry.write_bytes(changed)
        with cache.find(key) as graph:
            assert graph is None, what


@pytest.mark.parametrize("damage", ["flipped", "emptied", "deleted"])
def test_a_damaged_entry_is_made_again(entry: Path, opened: Bundle, expected: Vectors, damage: str) -> None:
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.unlink()
    if damage != "deleted":
        entry.write_bytes(content if damage == "flipped" else b"")
    counted = Counted()
    np.testing.assert_allclose(embed(counted.load(opened, entry.parent)), expected, rtol=0, atol=1e-6)
    assert counted.optimized == 1
    again = Counted()
    again.load(opened, entry.parent)
    assert (again.optimized, again.runs) == (0, 0)


@pytest.mark.parametrize("obstacle", ["directory", "pipe", "dangling link"])
def test_what_is_no_file_is_no_entry(entry: Path, opened: Bundle, expected: Vectors, obstacle: str) -> None:
    entry.unlink()
    if obstacle == "directory":
        (entry / "deep").mkdir(parents=True)
    elif obstacle == "pipe":
        os.mkfifo(entry)
    else:
        entry.symlink_to(entry.with_name("nothing"))
    session = load_embedder(opened, cache=entry.parent)
    np.testing.assert_allclose(embed(session), expected, rtol=0, atol=1e-6)


def test_a_folder_that_cannot_be_used_is_no_error(opened: Bundle, tmp_path: Path, expected: Vectors) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for useless in (file, file / "below", Path("/proc/edgefew"), shared):
        counted = Counted()
        np.testing.assert_allclose(embed(counted.load(opened, useless)), expected, rtol=0, atol=1e-6)
        assert counted.optimized == 0, useless
    assert list(shared.iterdir()) == []


def test_an_entry_in_a_folder_that_others_may_write_to_is_not_used(entry: Path, opened: Bundle) -> None:
    entry.parent.chmod(0o777)
    counted = Counted()
    counted.load(opened, entry.parent)
    assert counted.loaded == [False]


def test_a_full_disk_is_no_error(opened: Bundle, folder: Path, expected: Vectors) -> None:
    def half(model: bytes, file: Path) -> None:
        write_optimized(model, file)
        file.write_bytes(file.read_bytes()[:1000])

    session = load_embedder(opened, cache=folder, optimize=half)
    np.testing.assert_allclose(embed(session), expected, rtol=0, atol=1e-6)
    assert list(folder.iterdir()) == []


def test_the_oldest_entries_and_abandoned_parts_go(folder: Path) -> None:
    cache = ModelCache(folder)
    folder.mkdir(mode=0o700, parents=True)
    fresh, abandoned, foreign = folder / "a.part", folder / "b.part", folder / "notes.txt"
    for file in (fresh, abandoned, foreign):
        file.write_text("x")
    os.utime(abandoned, (0, time.time() - 7200))
    for number in range(MAX_ENTRIES + 3):
        with cache.store(cache_key(str(number))) as file:
            file.write_bytes(b"graph %d" % number)
        (made,) = folder.glob(f"{cache_key(str(number))}-*.onnx")
        os.utime(made, (number, number))
    with cache.store(cache_key("last")) as file:
        file.write_bytes(b"last")
    left = set(folder.iterdir())
    assert {fresh, foreign} <= left
    assert abandoned not in left
    kept = {p.name.partition("-")[0] for p in left - {fresh, foreign}}
    assert kept == {cache_key(str(n)) for n in range(4, MAX_ENTRIES + 3)} | {cache_key("last")}


def test_an_error_while_writing_leaves_nothing(folder: Path) -> None:
    cache = ModelCache(folder)
    with pytest.raises(ValueError, match="power cut"), cache.store("0" * 64) as file:
        file.write_bytes(b"half")
        raise ValueError("power cut")
    assert list(folder.iterdir()) == []


def test_several_processes_may_open_at_once(bundle: Path, folder: Path, expected: Vectors, tmp_path: Path) -> None:
    code = (
        "import sys; import numpy as np; from pathlib import Path\n"
        "from edgefew_runtime import Bundle; from edgefew_runtime.loading import load_embedder\n"
        "session = load_embedder(Bundle.open(sys.argv[1]), cache=Path(sys.argv[2]))\n"
        "np.save(sys.argv[4], session.run({'frames': np.load(sys.argv[3])})[0])"
    )
    np.save(tmp_path / "frames.npy", FRAMES)
    outputs = [tmp_path / f"{i}.npy" for i in range(3)]
    started = [
        subprocess.Popen([sys.executable, "-c", code, bundle, folder, tmp_path / "frames.npy", output])
        for output in outputs
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    for output in outputs:
        np.testing.assert_allclose(np.load(output), expected, rtol=0, atol=1e-6)
    names = [file.name for file in folder.iterdir()]
    assert names
    assert all(name.endswith(".onnx") for name in names)
