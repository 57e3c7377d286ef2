"""What each package may import, and what it weighs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import edgefew_runtime
import pytest

from tests.conftest import ROOT

DEVICE_PYTHON = ROOT / ".venv-device" / "bin" / "python"
MAX_DEVICE_MB, MAX_WHEEL_KB = 200, 200
# What only the extra `serve` uses travels in the same wheel, and has a bound of its own.
SERVE, MAX_SERVE_KB = ("edgefew_runtime/serve/", "edgefew_runtime/commands/serve.py"), 75

WHEELS = sorted((ROOT / "build" / "wheel").glob("edgefew_runtime-*.whl"))

needs_device = pytest.mark.skipif(not DEVICE_PYTHON.exists(), reason="no .venv-device: `make test` makes it")


def device(code: str, **environment: str) -> str:
    done = subprocess.run(
        [DEVICE_PYTHON, "-I", "-c", code], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names_are_complete_and_sorted() -> None:
    names = edgefew_runtime.__all__
    assert names == sorted(names)
    # Each is there, some loaded only now; and nothing else of ours is.
    assert all(getattr(edgefew_runtime, name).__module__.startswith("edgefew_runtime.") for name in names)
    public = {
        name
        for name, value in vars(edgefew_runtime).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("edgefew_runtime.")
    }
    assert public <= set(names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgefew_runtime.nothing  # noqa: B018


def test_what_only_classifies_loads_nothing_else(bundle: Path) -> None:
    """No Pillow and no click; sqlite3 not before a gallery is opened, the doctor not before something is enrolled."""
    code = f"""
import sys, edgefew_runtime
names = ("PIL", "click", "sqlite3", "edgefew_runtime.doctor", "edgefew_runtime.migration", "zipfile")
print([n for n in names if n in sys.modules])
bundle = edgefew_runtime.Bundle.open({str(bundle)!r})
from edgefew_runtime.loading import load_embedder
load_embedder(bundle)
print([n for n in ("PIL", "click", "sqlite3", "edgefew_runtime.doctor") if n in sys.modules])
edgefew_runtime.Classifier.open(bundle)
print([n for n in ("PIL", "click", "edgefew_runtime.doctor") if n in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "[]", "[]", ""]


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    from edgefew_runtime import errors

    classes = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    for error in classes:
        assert issubclass(error, errors.EdgeFewError)
        assert f"{error.__name__} " in (errors.__doc__ or "") or error is errors.EdgeFewError
        assert error.__name__ in edgefew_runtime.__all__


def test_the_runtime_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, edgefew_runtime, edgefew_runtime.commands\n"
        "print([m for m in ('torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom edgefew_runtime.commands import edgefew\n"
        "r = CliRunner().invoke(edgefew, ['--help'])\nassert 'train' in r.output\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@needs_device
def test_the_device_environment_holds_no_torch_and_no_onnx() -> None:
    code = (
        "import importlib.util as u, json, sys, edgefew_runtime\n"
        "print(json.dumps([n for n in ('torch', 'onnx', 'edgefew', 'edgefew_export', 'pip') if u.find_spec(n)]))"
    )
    assert json.loads(device(code)) == []


@needs_device
def test_the_device_environment_is_small() -> None:
    folder = ROOT / ".venv-device"
    size = sum(file.lstat().st_blocks * 512 for file in folder.rglob("*")) / 1e6
    assert size < MAX_DEVICE_MB, f"{size:.0f} MB"


@pytest.mark.skipif(not WHEELS, reason="no build/wheel: `make test` makes it")
def test_the_wheel_is_small_and_holds_the_package_alone() -> None:
    (wheel,) = WHEELS
    with zipfile.ZipFile(wheel) as archive:
        serve = sum(
            entry.compress_size + len(entry.FileHeader()) + zipfile.sizeCentralDir + len(entry.filename)
            for entry in archive.infolist()
            if entry.filename.startswith(SERVE)
        )
        assert serve < MAX_SERVE_KB * 1000
        assert wheel.stat().st_size - serve < MAX_WHEEL_KB * 1000
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"edgefew_runtime", f"edgefew_runtime-{wheel.name.split('-')[1]}.dist-info"}


@needs_device
def test_a_bundle_works_on_the_device(bundle: Path, unseen_folder: Path, tmp_path: Path) -> None:
    image = sorted(unseen_folder.rglob("*.png"))[0]
    code = f"""
from edgefew_runtime import Classifier
classifier = Classifier.open({str(bundle)!r}, gallery={str(tmp_path / "site.gallery")!r})
classifier.enroll("figure", {str(image)!r})
answer = classifier.classify({str(image)!r})
print(answer, answer.known, classifier.provider)
"""
    assert device(code).split() == ["figure", "True", "CPUExecutionProvider"]


@needs_device
def test_no_telemetry_leaves_a_trace(bundle: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    code = f"from edgefew_runtime import Classifier; Classifier.open({str(bundle)!r})"
    done = subprocess.run(
        [DEVICE_PYTHON, "-c", code],
        env=environment | {"HOME": str(tmp_path), "EDGEFEW_CACHE": ""},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*"))


@needs_device
def test_commands_of_the_workstation_are_not_on_the_device() -> None:
    edgefew = DEVICE_PYTHON.with_name("edgefew")
    output = subprocess.run([edgefew, "--help"], capture_output=True, text=True, check=True).stdout
    assert "enroll" in output
    assert not any(f"  {name} " in output for name in ("train", "export", "evaluate"))


def test_no_onnxruntime_is_said_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\nfrom edgefew_runtime import RuntimeMissingError\n"
        "from edgefew_runtime.session import OrtSession\n"
        "try:\n    OrtSession(b'')\nexcept RuntimeMissingError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "edgefew-runtime[cpu]"' in done.stdout
