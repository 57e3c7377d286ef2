"""`edgefew bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgefew_runtime.bundle import Bundle
from edgefew_runtime.session import PROFILES

from .options import bundle_argument, json_option, plural, print_json, provider_option, require_gallery

if TYPE_CHECKING:
    from edgefew_runtime.bench import FrameCost, Measurement, Timing


@click.command()
@bundle_argument
@click.option(
    "--gallery",
    type=click.Path(path_type=Path),
    help="Classify with the classes of this gallery; it is not changed. Default: 20 random classes.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(list(PROFILES)),
    default=list(PROFILES),
    show_default=True,
    help="power: one thread that sleeps while it waits. latency: a thread for each core, and no sleep.",
)
@click.option(
    "--threads", multiple=True, type=click.IntRange(min=1), help="Threads for one frame, instead of the profile's own."
)
@provider_option
@click.option(
    "--runs", default=100, show_default=True, type=click.IntRange(min=1), help="How often each thing is measured."
)
@json_option
def bench(
    bundle: Path,
    gallery: Path | None,
    profiles: tuple[str, ...],
    threads: tuple[int, ...],
    provider: str,
    runs: int,
    as_json: bool,
) -> None:
    """Measure what a bundle costs on this machine: time for each frame and enrolment, start-up, memory.

    Each variant of the bundle is measured with each --profile and --threads. Enrolments go into a throw-away gallery,
    which lies beside the one given, or else in the system's folder for temporary files.
    """
    # It starts programs and writes to scratch folders: what that imports, the other commands need not pay for.
    from edgefew_runtime.bench import Machine
    from edgefew_runtime.bench import bench as run_bench

    if gallery is not None:
        require_gallery(gallery)
    opened = Bundle.open(bundle)
    measured = run_bench(
        opened,
        gallery=gallery,
        profiles=profiles,
        threads=threads,
        provider=provider,
        runs=runs,
        progress=lambda step: click.echo(f"measuring: {step}", err=True),
    )
    machine = Machine.this()
    if as_json:
        results = [m.to_dict() for m in measured]
        print_json({"bundle": str(bundle), "bundle_id": opened.id, "machine": machine.to_dict(), "results": results})
        return
    cores = f"{machine.physical_cores} of {machine.logical_cores} cores"
    click.echo(f"{machine.processor}, {cores}; onnxruntime {machine.onnxruntime}; median / 99 % in ms")
    for measurement in measured:
        click.echo(f"\n{_start(measurement)}")
        for line in _table(measurement.frames):
            click.echo(f"  {line}")


def _start(measured: Measurement) -> str:
    start, threads = measured.start, plural(measured.threads, "thread")
    memory = "" if start.peak_memory_mb is None else f", at most {start.peak_memory_mb:.0f} MB"
    return (
        f"{measured.variant}, {measured.profile}, {threads}, {measured.provider} asked for, {measured.provider_used} "
        f"used\n  program to first answer: {start.median_ms:.0f} ms ({start.first_ms:.0f} ms the first time){memory}"
    )


def _table(costs: tuple[FrameCost, ...]) -> list[str]:
    header = ("frame", "embed", "classify", "added", "enroll 1", "enroll 25")
    rows = [
        (
            _size(cost.shape),
            _shown(cost.embed),
            _shown(cost.classify),
            f"{cost.classify_adds_ms:.2f}",
            _shown(cost.enroll_1),
            _shown(cost.enroll_25),
        )
        for cost in costs
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]


def _size(shape: tuple[int, ...]) -> str:
    """A frame's shape for people: an image's as width × height."""
    if len(shape) == 1:
        return f"{shape[0]} samples or tokens"
    return f"{shape[1]} × {shape[0]}" if len(shape) > 2 else f"{shape[0]} samples × {shape[1]}"


def _shown(timing: Timing) -> str:
    return f"{timing.median_ms:.2f} / {timing.p99_ms:.2f}"
