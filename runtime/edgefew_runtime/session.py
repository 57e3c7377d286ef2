"""The seam to ONNX Runtime: a graph in, a `Session` out. Nothing else here imports onnxruntime."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from .errors import BundleCorruptError, BundleFormatError, EdgeFewError, ProviderError, RuntimeMissingError
from .processor import physical_cores

CPU = "CPUExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@dataclass(frozen=True)
class Profile:
    """How a graph uses the processor.

    Attributes:
        threads: for one run; None is one for each physical core.
        spinning: whether threads wait for work by asking again and again: quicker when the next frame comes at once,
            but it takes processor time while nothing is computed.
    """

    threads: int | None
    spinning: bool


MAX_THREADS = 1024
"""More would only fill the memory with their stacks."""

PROFILES = {"power": Profile(threads=1, spinning=False), "latency": Profile(threads=None, spinning=True)}
DEFAULT_PROFILE = "power"


class Tensor(NamedTuple):
    """An input or output of a graph: its name, its type in ONNX Runtime's words, a number or a name for each axis."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Session(Protocol):
    """A loaded graph. A test or a host may give its own."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, as ONNX Runtime reports it."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The graph's outputs, in its order."""


class OrtSession:
    """A graph in ONNX Runtime.

    Args:
        model: the graph's bytes, or the file that holds them.
        provider: "cpu", "cuda", "tensorrt" or ONNX Runtime's own name; never exchanged silently.
        threads: for one run; None leaves it to the profile.
        profile: a key of `PROFILES`.
        optimized: it is a graph that `write_optimized` wrote, to be run as it is.

    Raises:
        BundleCorruptError: ONNX Runtime cannot load the graph.
        ProviderError: the provider is not there, or ONNX Runtime fell back to another.
        EdgeFewError: there is no such profile, or fewer than one thread was asked for.
    """

    def __init__(
        self,
        model: bytes | Path,
        *,
        provider: str = "cpu",
        threads: int | None = None,
        profile: str = DEFAULT_PROFILE,
        optimized: bool = False,
    ) -> None:
        ort = _import_onnxruntime()
        options = _options(ort, thread_count(threads, profile), PROFILES[profile].spinning)
        if optimized:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        wanted = _provider_name(provider, ort.get_available_providers())
        self._session = _load(ort, model, options, [wanted] if wanted == CPU else [wanted, CPU])
        self._session.disable_fallback()  # where a provider fails later, it would be exchanged for the CPU's
        self._outputs = [t.name for t in self._session.get_outputs()]
        # The session within: what the outer one looks up before each run costs 0.05 ms after a network has emptied the
        # caches. Its `run` is the same from 1.16 to 1.32 (`make matrix`); without it, the outer one does.
        self._run = getattr(self._session, "_sess", self._session).run
        self.provider: str = self._session.get_providers()[0]
        if self.provider != wanted:
            raise ProviderError(
                f"{wanted} was asked for, and ONNX Runtime fell back to {self.provider}. "
                "Check the driver and the onnxruntime-gpu version, or ask for the provider cpu."
            )

    @property
    def inputs(self) -> list[Tensor]:
        """What the graph takes."""
        return [Tensor(t.name, t.type, tuple(t.shape)) for t in self._session.get_inputs()]

    @property
    def outputs(self) -> list[Tensor]:
        """What the graph gives, in its order."""
        return [Tensor(t.name, t.type, tuple(t.shape)) for t in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The graph's outputs, in its order."""
        try:
            outputs: list[npt.NDArray[Any]] = self._run(self._outputs, dict(inputs), None)
        except Exception as error:
            raise BundleFormatError(
                f"The graph does not take what a bundle's graph takes ({error}). Export the bundle again."
            ) from None
        return outputs


def write_optimized(model: bytes, file: Path) -> None:
    """Write the graph as ONNX Runtime optimises it for this processor: for this machine alone, and only for the CPU.

    Raises:
        BundleCorruptError: ONNX Runtime cannot load the graph or cannot write the file.
    """
    ort = _import_onnxruntime()
    options = _options(ort, threads=1, spinning=False)
    options.optimized_model_filepath = str(file)
    _load(ort, model, options, [CPU])


def runtime_identity() -> str:
    """Which ONNX Runtime this is: its version and how it was built."""
    ort = _import_onnxruntime()
    return f"onnxruntime {ort.__version__} {ort.get_build_info()}"


def runtime_version() -> str:
    """The version of ONNX Runtime."""
    return str(_import_onnxruntime().__version__)


def thread_count(threads: int | None, profile: str = DEFAULT_PROFILE) -> int:
    """How many threads run a graph: those asked for, else the profile's.

    >>> thread_count(3, "power"), thread_count(None, "power")
    (3, 1)

    Raises:
        EdgeFewError: there is no such profile, or fewer than one thread was asked for.
    """
    if profile not in PROFILES:
        raise EdgeFewError(f"There is no profile {profile!r}; there are: {', '.join(PROFILES)}.")
    if threads is not None and threads < 1:
        raise EdgeFewError(f"{threads} threads were asked for; give 1 or more, or none for the profile's own.")
    if threads is not None and threads > MAX_THREADS:
        raise EdgeFewError(f"{threads} threads were asked for; {MAX_THREADS} are the most.")
    return threads or PROFILES[profile].threads or physical_cores()


def runs_on_cpu(provider: str) -> bool:
    """Whether a provider as a caller names it is ONNX Runtime's own one for the CPU."""
    return _full_name(provider) == CPU


def has_cuda() -> bool:
    """Whether the onnxruntime installed here can run on an NVIDIA GPU."""
    return PROVIDERS["cuda"] in _import_onnxruntime().get_available_providers()


def _options(ort: Any, threads: int, spinning: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return options


def _load(ort: Any, model: bytes | Path, options: Any, providers: Sequence[str]) -> Any:
    # ONNX Runtime prints "EP Error … Falling back" to standard output, which belongs to --json.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return ort.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=list(providers)
            )
        except Exception as error:
            raise BundleCorruptError(
                f"ONNX Runtime {ort.__version__} cannot load the graph: {error}. "
                "Export the bundle again, or install a newer onnxruntime."
            ) from None


def _full_name(provider: str) -> str:
    return PROVIDERS.get(provider.lower(), provider)


def _provider_name(provider: str, available: Sequence[str]) -> str:
    wanted = _full_name(provider)
    if wanted not in available:
        raise ProviderError(
            f"The execution provider {provider!r} is not there; this onnxruntime has {', '.join(available)}. "
            'For an NVIDIA GPU: pip install "edgefew-runtime[gpu]".'
        )
    return wanted


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
