"""What a bundle costs on the machine that exported it: a file beside the bundle.

Times differ from run to run, and a bundle's bytes must not: so they are not in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx.parser
from edgefew_runtime import Bundle, EdgeFewError
from edgefew_runtime.bench import Machine, Timing, bench
from edgefew_runtime.bundle import VARIANT
from edgefew_runtime.session import PROFILES, OrtSession, thread_count
from edgefew_runtime.variant_choice import FOR_GPUS

RUNS, TURNS = 40, 4
_WARM_UP = 5


def measured_file(bundle: Path) -> Path:
    """The file beside a bundle's directory that holds what was measured.

    >>> measured_file(Path("out/signs.edgefew")).as_posix()
    'out/signs.edgefew.measured.json'
    """
    return bundle.with_name(bundle.name + ".measured.json")


def write_measured(
    bundle: Bundle, speed: Sequence[Mapping[str, Any]], progress: Callable[[str], None] = lambda _: None
) -> Path:
    """Measure every variant of a bundle and write it down, with the times of the settings that were tried."""
    results = bench(bundle, runs=RUNS, progress=lambda step: progress(f"measuring {step}"))
    on_gpu = has_gpu()
    names = {"cpu": [name for name in bundle.variants() if name not in FOR_GPUS]}
    if on_gpu:
        names["cuda"] = [name for name in bundle.variants() if name == VARIANT or name in FOR_GPUS]
    frame = bundle.golden()[0][0]
    in_turns = {
        provider: time_in_turns([bundle.model("embed", name) for name in own], frame, provider)
        for provider, own in names.items()
    }
    document = {
        "format": 1,
        "bundle_id": bundle.id,
        "machine": Machine.this().to_dict(),
        "latency": [
            {
                "variant": name,
                "provider": provider,
                "profile": profile,
                "threads": thread_count(None, profile),
                "median_ms": timing.median_ms,
                "p99_ms": timing.p99_ms,
            }
            for provider, profiles in in_turns.items()
            for profile, timings in profiles.items()
            for name, timing in zip(names[provider], timings, strict=True)
        ],
        "results": [result.to_dict() for result in results],
        "settings_tried": list(speed),
    }
    file = measured_file(bundle.path)
    file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return file


def has_gpu() -> bool:
    """Whether ONNX Runtime can run a graph on an NVIDIA GPU here."""
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1] x) => (float[1] y) {y = Neg (x)}'
    )
    try:
        OrtSession(graph.SerializeToString(), provider="cuda")
    except EdgeFewError:
        return False
    return True


def time_in_turns(
    models: Sequence[bytes],
    frame: npt.NDArray[Any],
    provider: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Timing]]:
    """How long each embed graph takes for one frame, by the profile that it runs with.

    In turns, so that other load on the machine hits all of them; each for some frames, because threads that spin
    would take the processor from another graph.
    """
    found = {}
    for profile in PROFILES:
        seconds: list[list[float]] = [[] for _ in models]
        for _ in range(TURNS):
            for model, taken in zip(models, seconds, strict=True):
                session = OrtSession(model, provider=provider, profile=profile)
                for number in range(_WARM_UP + RUNS // TURNS):
                    started = clock()
                    session.run({"frames": frame[None]})
                    if number >= _WARM_UP:
                        taken.append(clock() - started)
        found[profile] = [Timing.of(taken) for taken in seconds]
    return found
