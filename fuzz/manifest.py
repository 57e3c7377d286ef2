"""Bytes as the manifest.json of a bundle whose hashes hold: the text itself, or lies in the place of its values."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime import Bundle, Manifest
    from edgefew_runtime.bundle import COMPONENTS

LIES: list[Any] = [None, True, False, "", "1", "nan", [], {}, [1], {"a": 1}]
LIES += [0, -1, 1.5, 2**53, 2**62, 10**30, 1e308, 1e-320]


def target(data: bytes, path: Path) -> None:
    """A manifest that passes is the same after it was written and read again."""
    text = data if data[:1] == b"{" else _lying(atheris.FuzzedDataProvider(data))
    seeds.packed(seeds.sealed({"manifest.json": text}), path)
    manifest = Bundle.open(path).manifest
    if Manifest.from_dict(manifest.to_dict(COMPONENTS)) != manifest:
        raise AssertionError(f"{manifest} changes when it is written and read again")


def _lying(provider: atheris.FuzzedDataProvider) -> bytes:
    document = json.loads(seeds.manifest())
    for _ in range(provider.ConsumeIntInRange(1, 3)):
        node: Any = document
        while True:
            key = provider.PickValueInList(list(node) if isinstance(node, dict) else list(range(len(node))))
            if not isinstance(node[key], (dict, list)) or not node[key] or provider.ConsumeBool():
                break
            node = node[key]
        kinds = [provider.ConsumeRegularFloat, lambda: provider.ConsumeInt(8), lambda: provider.ConsumeUnicode(9)]
        lie = provider.PickValueInList([*LIES, *kinds])
        node[key] = lie() if callable(lie) else copy.deepcopy(lie)
    return json.dumps(document).encode()


if __name__ == "__main__":
    campaign.run(target, [seeds.manifest(), *(bytes(range(start, start + 24)) for start in range(0, 192, 24))])
