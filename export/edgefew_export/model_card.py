"""The model card for people, made from the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgefew_runtime import AudioInput, ImageInput, InputSpec, Manifest, SignalInput
from edgefew_runtime.bundle import TOKENIZER_FILE, VARIANT
from edgefew_runtime.text_input import TextInput

from .calibration import classes_needed
from .proof import HELD_OUT

_SHOWN_WAYS = 3


def model_card(manifest: Manifest, report: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    episodes = report["episodes"]
    accuracy, spec = episodes["bundle"], manifest.input
    error = report["calibration"]["expected_calibration_error"]
    return f"""# {manifest.name}

A few-shot backbone for on-site adaptation with EdgeFew: it turns a frame into a unit vector of {manifest.dimension} values, and new
classes are enrolled on the device from a few examples each.

## Input

{_input(spec)}

## Accuracy on classes that training never saw

{accuracy["way"]}-way {accuracy["shot"]}-shot over {accuracy["episodes"]} episodes (seed {accuracy["seed"]}): {accuracy["accuracy"]:.1%} ± {accuracy["ci95"]:.1%}
(95 % interval). {report["reference"]} and this bundle take {episodes["agreement"]:.2%} of {episodes["decisions"]} decisions alike ({episodes["agreement_with_own_resize"]:.2%} where the bundle resizes by itself).
{_proved_on(report)}{_projection(report)}

## When it says "unknown"

{_promises(manifest)}{_open_set(report["open_set"])}
Probabilities among the enrolled classes are off by {error["after"]:.1%} on average (expected calibration error; {error["before"]:.1%} before the scale was
fitted). For other kinds of pictures than those of training, calibrate on your own: `edgefew calibrate`.
{_shots(report)}{_refine(report)}{_hallucinate(report)}{_variants(report)}
## Limits

No classes are built in. Accuracy depends on how near the frames on site are to those of training. Not a safety function by
itself, and no claim of compliance with any standard.

## Lineage

```json
{json.dumps(manifest.lineage, indent=2, sort_keys=True)}
```
"""


def _input(spec: InputSpec) -> str:
    if isinstance(spec, ImageInput):
        return (
            f"image: `{spec.dtype}` `{spec.layout}`, {spec.color}, any height and width. Inside the graph it is resized to "
            f"{spec.size[0]} × {spec.size[1]}\n({spec.resize}, {spec.fit}) and seen with {spec.channels} channel(s)."
        )
    if isinstance(spec, AudioInput):
        seen = f"as a log-mel spectrogram of {spec.bands} bands" if spec.bands else "as samples"
        return (
            f"audio: `{spec.dtype}` `{spec.layout}` [recordings, samples], one channel at {spec.rate} Hz, from -1 to 1, any "
            f"number of samples. Inside the graph the middle\n{spec.seconds:g} s are taken (shorter ones get silence before and "
            f"after) and seen {seen}.\nA silent recording, and one with NaN or infinity, gets the zero vector: it is not "
            "accepted, and unknown."
        )
    if isinstance(spec, TextInput):
        return (
            f"text: `{spec.dtype}` `{spec.layout}` [texts, tokens], as the bundle's `{TOKENIZER_FILE}` numbers them, any number of "
            "tokens; below 0 for padding,\nwhich changes nothing. A text without a token gets the zero vector: it is not "
            "accepted, and unknown."
        )
    assert isinstance(spec, SignalInput)  # noqa: S101
    lasts = "" if spec.seconds is None else f" A window lasts {spec.seconds:g} s."
    return (
        f"signal: `{spec.dtype}` `{spec.layout}` [windows, samples, channels], {spec.channels} channel(s), any number of "
        f"samples.{lasts}\nInside the graph a window is resampled to {spec.size[0]} samples ({spec.resize}), whatever its "
        f"rate, and normalised ({spec.normalize}).\nA flat window, and one with NaN or infinity, gets the zero vector: it is "
        "not accepted, and unknown."
    )


def _proved_on(report: Mapping[str, Any]) -> str:
    proved = report["proved_on"]
    if proved["from"] == HELD_OUT:
        return "These classes chose the checkpoint during training, so expect slightly less on others; measure on your own data."
    return f"Measured on {proved['images']} frames of {proved['classes']} classes of a folder given at export; measure on your own data."


def _projection(report: Mapping[str, Any]) -> str:
    """What the projection after the network brought, if there is one."""
    if "projection" not in report:
        return ""
    fitted = report["projection"]
    without, after = fitted["without"], fitted["with"]
    return f"""

A projection ({fitted["kind"]}) from {fitted["from"]} to {fitted["to"]} values is part of the graph, fitted on {fitted["images"]} pictures of {fitted["classes"]} other classes.
Without it: {without["accuracy"]:.1%} ± {without["ci95"]:.1%}; with it: {after["accuracy"]:.1%} ± {after["ci95"]:.1%}, on the same episodes."""


def _open_set(measured: Mapping[str, Any]) -> str:
    """How well known and unknown are told apart, and what thresholds of other classes let in."""
    if not measured["galleries"]:
        return f"Known against unknown was not measured: {measured['why']}.\n"
    area = measured["auroc"]
    lines = [
        f"Galleries of {measured['way']} classes with one example each, asked about themselves and as many strangers: the area "
        f"under the ROC curve of the best score is {area['mean']:.3f} ± {area['ci95']:.3f} (95 % interval over "
        f"{measured['galleries']} galleries)."
    ]
    for found in measured["false_accepts"]:
        accepted, recognised = found["accepted"], found["recognised"]
        lines.append(
            f"At {found['rate']:.1%}, by thresholds from other classes, half as many as the bundle's: "
            f"{accepted['mean']:.1%} ± {accepted['ci95']:.1%} of strangers accepted, {recognised['mean']:.1%} ± "
            f"{recognised['ci95']:.1%} recognised ({found['way']} classes)."
        )
    return "\n".join(lines) + "\n"


def _shots(report: Mapping[str, Any]) -> str:
    """Accuracy with more examples, where it was measured."""
    if len(report["shots"]) < 2:
        return ""
    rows = "\n".join(f"| {row['shot']} | {row['accuracy']:.1%} ± {row['ci95']:.1%} |" for row in report["shots"])
    return f"""
## With more examples

| examples of each class | {report["shots"][0]["way"]}-way accuracy |
|---|---|
{rows}
"""


def _refine(report: Mapping[str, Any]) -> str:
    """What unlabelled frames gain, where it was measured."""
    if "refine" not in report:
        return ""
    told = report["refine"]
    number = told["unlabelled"]
    return f"""
## With unlabelled frames

{number} unlabelled frame{"s" * (number != 1)} of each class (`edgefew refine`) gain {100 * told["gain"]:+.1f} ± {100 * told["gain_ci95"]:.1f} points at one example: from \
{told["without"]["accuracy"]:.1%} to {told["refined"]["accuracy"]:.1%}, {told["refined"]["way"]}-way, on the same {told["refined"]["episodes"]} episodes.
"""


def _hallucinate(report: Mapping[str, Any]) -> str:
    """Accuracy without and with generated examples, if there is a generator."""
    if "hallucinate" not in report:
        return ""
    told = report["hallucinate"]
    rows = "\n".join(
        f"| {shot} | {row['without']['accuracy']:.1%} ± {row['without']['ci95']:.1%} | {row['with']['accuracy']:.1%} ± "
        f"{row['with']['ci95']:.1%} | {100 * row['gain']:+.2f} ± {100 * row['gain_ci95']:.2f} | "
        f"{'used' if told['gain'][shot] else 'not used'} |"
        for shot, row in told["shots"].items()
    )
    return f"""
## With generated examples

A generator (conditional Wasserstein GAN), fitted on {told["fitted_on"]["classes"]} other classes, completes the prototype of a class of few
examples, where the 95 % interval of the gain on the same episodes is above 0:

| examples of each class | without | with | points gained | on the device |
|---|---|---|---|---|
{rows}
"""


def _variants(report: Mapping[str, Any]) -> str:
    """The other precisions: what the kept ones lose, and why the others were not kept."""
    if "variants_tried" not in report:
        return ""
    tried = report["variants_tried"]
    parts = []
    for name, made in report["variants"].items():
        if name == VARIANT:
            continue
        distance, episodes = made["embedding"]["to_fp32"], made["episodes"]
        lost = {side: episodes[side]["loss"] for side in ("alone", "enrolled_by_fp32", "asked_by_fp32")}
        shown = {side: f"{loss['points']:+.2f} ± {loss['ci95']:.2f}" for side, loss in lost.items()}
        parts.append(
            f"**{name}** ({made['bytes']['embed'] / 1e6:.1f} MB): cosine to fp32 {distance['cosine_mean']:.4f} on average, "
            f"{distance['cosine_min']:.4f} at least, over {made['embedding']['frames']} frames; a component differs by up to "
            f"{distance['max_abs_error']:.1e}, {distance['mean_abs_error']:.1e} on average. Accuracy {episodes['bundle']['accuracy']:.1%} "
            f"± {episodes['bundle']['ci95']:.1%}; points lost on the same episodes: {shown['alone']}; in galleries that fp32 "
            f"enrolled {shown['enrolled_by_fp32']}; asked by fp32 {shown['asked_by_fp32']}. "
            f"{episodes['alone']['agreement_with_fp32']:.1%} of decisions are those of fp32. Its thresholds and its scale are its own "
            f"(expected calibration error {made['calibration']['expected_calibration_error']['after']:.1%}).\n"
        )
        parts.append(_open_set(made["open_set"]))
    for outcome in tried["outcomes"]:
        described = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in outcome.get("setting", {}).items())
        verdict = "kept" if outcome["kept"] else "not kept"
        parts.append(f"- {outcome['variant']}{f' ({described})' if described else ''}: {verdict}: {outcome['why']}")
    body = "\n".join(parts)
    return f"""
## Variants

For {tried["target"].replace("this machine", "the machine that exported it")}; kept if at least {tried["least_speedup"]:g} times as fast as fp32 and if at most {tried["max_loss"]:g} points of accuracy are lost.

{body}
"""


def _promises(manifest: Manifest) -> str:
    """For each promised rate: how many classes it holds for, and what is recognised then."""
    points = manifest.operating_points
    if not points:
        return (
            "The classes at hand were too few to promise any false-accept rate: export again with more classes that "
            f"training never saw ({classes_needed(0.05)} for 5 %), or give the device strangers of its own.\n"
        )
    rows = []
    for rate in sorted({p.false_accept_rate for p in points}):
        of_rate = [p for p in points if p.false_accept_rate == rate]
        shot = min(p.shot for p in of_rate)
        largest = max(p.way for p in of_rate)
        measured = [p for p in of_rate if p.shot == shot and p.recall is not None and p.way > 1]
        shown = measured[-1::-2][:_SHOWN_WAYS][::-1]
        recalls = ", ".join(f"{p.recall:.0%} of {p.way}" for p in shown)
        rows.append(f"| {rate:.1%} | {largest:,} | {recalls or 'not measured'} |")
    table = "\n".join(rows)
    return f"""| strangers taken for known, at most | holds up to so many classes | recognised by the right name, {shot} example{"s" * (shot != 1)} of each class |
|---|---|---|
{table}

Promised with 95 % confidence from {points[0].strangers} frames of {points[0].stranger_classes} classes that training never saw; what counts is the classes.
"""
