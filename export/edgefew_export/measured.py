"""What a bundle costs on the machine that exported it: a file beside the bundle.

Times differ from run to run, and a bundle's bytes must not: so they are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgefew_runtime import Bundle
from edgefew_runtime.bench import Machine, bench

RUNS = 40


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
    document = {
        "format": 1,
        "bundle_id": bundle.id,
        "machine": Machine.this().to_dict(),
        "results": [result.to_dict() for result in results],
        "settings_tried": list(speed),
    }
    file = measured_file(bundle.path)
    file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return file
