"""The processor that this process runs on: what it is called, what it can do, how many cores it has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CORES = Path("/sys/devices/system/cpu")
_NVIDIA = Path("/proc/driver/nvidia")

_X86 = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_ARM = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features")
_IDENTITY = frozenset(_X86 + _ARM)
"""Lines of /proc/cpuinfo that tell which instructions there are. Others, such as the clock rate, change."""


def processor_identity() -> str:
    """What a graph optimised for this processor depends on: the type of machine, the processor, its instructions."""
    import platform  # a program that only reads a bundle need not load it

    described = _described()
    lines = [f"{key}: {value}" for key, value in described.items() if key in _IDENTITY] or [platform.processor()]
    return "\n".join([platform.machine(), *lines])


def accelerator_identity(driver: Path = _NVIDIA) -> str:
    """What a graph computes on an NVIDIA GPU depends on: the driver and the cards; empty where there is none.

    Args:
        driver: where the driver tells of itself.
    """
    found = []
    for file in (driver / "version", *sorted(driver.glob("gpus/*/information"))):
        with contextlib.suppress(OSError):
            found += file.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line for line in found if line.startswith(("NVRM", "Model", "GPU UUID", "Video BIOS")))


def processor_name() -> str:
    """The processor's name, for people."""
    import platform

    return _described().get("model name") or platform.processor() or platform.machine()


def physical_cores() -> int:
    """Physical cores that this process may use; logical ones where the system does not tell them apart."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    usable: set[int] = os.sched_getaffinity(0)
    try:
        return len({(_CORES / f"cpu{cpu}/topology/thread_siblings_list").read_text() for cpu in usable})
    except OSError:
        return len(usable)


def _described() -> dict[str, str]:
    """The first core's part of /proc/cpuinfo; empty where there is none."""
    try:
        first_core = _CPUINFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first_core.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
