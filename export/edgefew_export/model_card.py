"""The model card for people, made from the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgefew_runtime import Manifest


def model_card(manifest: Manifest, report: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    episodes = report["episodes"]
    accuracy, spec = episodes["bundle"], manifest.input
    points = "\n".join(
        f"| {p.way} | {p.shot} | {p.false_accept_rate:.0%} | {p.threshold:.3f} | {p.recall:.0%} |"
        for p in manifest.operating_points
    )
    return f"""# {manifest.name}

A few-shot backbone for on-site adaptation with EdgeFew: it turns a frame into a unit vector of {manifest.dimension} values, and new
classes are enrolled on the device from a few examples each.

## Input

{spec.kind}: `{spec.dtype}` `{spec.layout}`, {spec.color}, any height and width. Inside the graph it is resized to {spec.size[0]} × {spec.size[1]}
({spec.resize}, {spec.fit}) and seen with {spec.channels} channel(s).

## Accuracy on classes that training never saw

{accuracy["way"]}-way {accuracy["shot"]}-shot over {accuracy["episodes"]} episodes (seed {accuracy["seed"]}): {accuracy["accuracy"]:.1%} ± {accuracy["ci95"]:.1%}
(95 % interval). PyTorch and this bundle take {episodes["agreement"]:.2%} of {episodes["decisions"]} decisions alike.
These classes chose the best checkpoint during training, so expect slightly less on others; measure on your own data.

## When it says "unknown"

| classes | examples of each | strangers taken for known | threshold | recognised by the right name |
|---|---|---|---|---|
{points}

Measured on episodes of held-out classes. For other kinds of pictures than those of training, calibrate on your own.

## Limits

No classes are built in. Accuracy depends on how near the frames on site are to those of training. Not a safety function by
itself, and no claim of compliance with any standard.

## Lineage

```json
{json.dumps(manifest.lineage, indent=2, sort_keys=True)}
```
"""
