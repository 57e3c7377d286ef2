"""The seam to ONNX Runtime: bytes of a graph in, a `Session` out. Nothing else here imports onnxruntime."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from .errors import BundleCorruptError, BundleFormatError, ProviderError, RuntimeMissingError

CPU = "CPUExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class Session(Protocol):
    """A loaded graph. A test or a host may give its own."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, as ONNX Runtime reports it."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The graph's outputs, in its order."""


class OrtSession:
    """A graph in ONNX Runtime: one thread, no spinning, no memory arena, unless asked otherwise."""

    def __init__(self, model: bytes, *, provider: str = "cpu", threads: int = 1) -> None:
        ort = _import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = _provider_name(provider, ort.get_available_providers())
        # ONNX Runtime prints "EP Error … Falling back" to standard output, which belongs to --json.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._session = ort.InferenceSession(
                    model, options, providers=[wanted] if wanted == CPU else [wanted, CPU]
                )
            except Exception as error:
                raise BundleCorruptError(
                    f"ONNX Runtime {ort.__version__} cannot load the graph: {error}. "
                    "Export the bundle again, or install a newer onnxruntime."
                ) from None
        self.provider: str = self._session.get_providers()[0]
        if self.provider != wanted:
            raise ProviderError(
                f"{wanted} was asked for, and ONNX Runtime fell back to {self.provider}. "
                "Check the driver and the onnxruntime-gpu version, or ask for the provider cpu."
            )

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The graph's outputs, in its order."""
        try:
            outputs: list[npt.NDArray[Any]] = self._session.run(None, dict(inputs))
        except Exception as error:
            raise BundleFormatError(
                f"The graph does not take what a bundle's graph takes ({error}). Export the bundle again."
            ) from None
        return outputs


def _provider_name(provider: str, available: Sequence[str]) -> str:
    wanted = PROVIDERS.get(provider.lower(), provider)
    if wanted not in available:
        raise ProviderError(
            f"The execution provider {provider!r} is not there; this onnxruntime has {', '.join(available)}. "
            'For an NVIDIA GPU: pip install "edgefew-runtime[gpu]".'
        )
    return wanted


def has_cuda() -> bool:
    """Whether the onnxruntime installed here can run on an NVIDIA GPU."""
    return PROVIDERS["cuda"] in _import_onnxruntime().get_available_providers()


def _import_onnxruntime() -> Any:
    # Since 1.29 the official builds collect by default and write a device id under HOME.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeMissingError(
            f'No usable onnxruntime is installed ({error}). Install one: pip install "edgefew-runtime[cpu]" '
            'or, for an NVIDIA GPU, "edgefew-runtime[gpu]".'
        ) from None
    if both := both_wheels(Path(onnxruntime.__file__).parent.parent):
        warnings.warn(both, RuntimeWarning, stacklevel=4)
    return onnxruntime


def both_wheels(site_packages: Path) -> str | None:
    """What to do where the CPU and the GPU wheel are both installed there; None where they are not.

    Looks for their folders itself: importlib.metadata would cost a sixth of the start-up time.
    """
    wheels = {entry.name.partition("-")[0] for entry in site_packages.glob("onnxruntime*.dist-info")}
    if not {"onnxruntime", "onnxruntime_gpu"} <= wheels:
        return None
    return (
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files. Uninstall both, then "
        "install one: pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    )
