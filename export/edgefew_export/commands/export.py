"""`edgefew export`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from edgefew_runtime import OperatingPoint
from edgefew_runtime.commands.options import json_option, print_json
from edgefew_runtime.input_spec import FITS, MAX_CHANNELS, MAX_SAMPLES, NORMALIZATIONS
from edgefew_runtime.sound_input import MAX_BANDS

from edgefew_export.projection import KINDS
from edgefew_export.sources import SCALINGS, Declared, DeclaredInput, DeclaredSignal, DeclaredSound, open_source

VARIANT_NAMES = ("int8", "fp16")


def _size(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise click.BadParameter(f"{text!r} is no size. Give a number of pixels, or height x width: 96x160.")
    return int(parts[0]), int(parts[-1])


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers. Give one for each channel: 0.5,0.5") from None


def _variants(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = () if text is None else tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in VARIANT_NAMES]:
        raise click.BadParameter(f"{unknown[0]!r} is no variant. There are: {', '.join(VARIANT_NAMES)}.")
    return names


@click.command()
@click.argument("source")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file to load into the network.")
@click.option(
    "--kind",
    type=click.Choice(["image", "signal", "audio"]),
    default="image",
    show_default=True,
    help="What the network takes. A checkpoint knows by itself.",
)
@click.option("--image-size", "size", callback=_size, help="What the network sees: 224, or height x width: 96x160.")
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    help="Images: 1 for grey, or 3 (default). Signals: those of a window.",
)
@click.option(
    "--scaling",
    type=click.Choice(list(SCALINGS)),
    help="Values to 0…1, to −1…1, to ImageNet's mean and deviation, or left at 0…255.",
)
@click.option("--fit", type=click.Choice(FITS), help="How a frame of another shape is made to fit.  [default: stretch]")
@click.option("--order", type=click.Choice(["RGB", "BGR"]), help="Order of the colours that the network sees.")
@click.option("--samples", type=click.IntRange(2, MAX_SAMPLES), help="Signals: how many a window is resampled to.")
@click.option(
    "--normalize",
    type=click.Choice(NORMALIZATIONS),
    help="Signals: each channel of each window to mean 0 and deviation 1, by --mean and --std, or as it is.",
)
@click.option("--mean", callback=_numbers, help="For --normalize constant: one for each channel: 0.1,0.2")
@click.option("--std", callback=_numbers, help="For --normalize constant: one for each channel.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Signals: how long a window lasts, to be told. Audio: how much of a recording the network hears.",
)
@click.option("--rate", type=click.IntRange(1_000, 192_000), help="Audio: samples a second that the network takes.")
@click.option(
    "--bands",
    type=click.IntRange(0, MAX_BANDS),
    help="Audio: bands of the log-mel spectrogram that the network takes; 0 if it takes samples.",
)
@click.option(
    "--project",
    type=click.Choice(list(KINDS)),
    help="Put a projection after the network, fitted on --project-data.",
)
@click.option("--dimension", type=click.IntRange(min=2), help="For --project: how many values an embedding then has.")
@click.option(
    "--project-data",
    type=click.Path(path_type=Path),
    help="For --project: a labelled folder of other classes than --data.",
)
@click.option(
    "--hallucinate",
    "hallucinate_data",
    type=click.Path(path_type=Path),
    help="Fit a generator of examples on this labelled folder of other classes than --data, and let the device use it "
    "at the numbers of examples at which it gains.",
)
@click.option("--name", help="The bundle's name. Default: that of the directory.")
@click.option("--bundle-version", default="1", show_default=True, help="The bundle's own version.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Prove and calibrate on this labelled folder, of classes that training never saw. A checkpoint has held-out "
    "classes of its own; every other source needs this.",
)
@click.option(
    "--source-pattern", help="For --data and --hallucinate: a regular expression that finds the source in a file name."
)
@click.option(
    "--variants",
    callback=_variants,
    help="Other precisions of the network to try: int8, fp16, or int8,fp16. Kept if faster and nearly as accurate.",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0),
    help="For --variants: the points of episode accuracy that one may lose.  [default: 0.5]",
)
@click.option(
    "--target",
    type=click.Choice(["x86", "arm", "gpu"]),
    help="For --variants: what the bundle is for. Speed is measured if that is this machine (default).",
)
@click.option(
    "--measure",
    is_flag=True,
    help="Measure times and memory here and write them to BUNDLE.measured.json. Done with --variants anyway.",
)
@click.option("--replace", "overwrite", is_flag=True, help="Put the new bundle in the place of one that is there.")
@click.option(
    "--triton",
    type=click.Path(path_type=Path),
    help="Also write a model repository for Triton Inference Server to this new folder, as `edgefew triton` does.",
)
@json_option
def export(
    source: str,
    bundle: Path,
    weights: Path | None,
    project: str | None,
    dimension: int | None,
    project_data: Path | None,
    hallucinate_data: Path | None,
    name: str | None,
    bundle_version: str,
    data: Path | None,
    source_pattern: str | None,
    variants: tuple[str, ...],
    max_loss: float | None,
    target: str | None,
    measure: bool,
    overwrite: bool,
    triton: Path | None,
    as_json: bool,
    **declared: Any,
) -> None:
    """Turn a network into a bundle that has proved itself against it.

    SOURCE is a checkpoint of `edgefew train`; `efficientnet_lite0` with ImageNet weights;
    `speech_embedding` and `sentence_encoder` with those of Google's speech embedding and of its multilingual encoder of
    sentences; `timm:NAME`;
    `module:factory`, a function of yours that returns a torch.nn.Module; or an ONNX file that embeds already. What the
    network sees is said with --image-size and --scaling where the source does not know it; of a signal with --kind
    signal, --samples, --channels and --normalize; of sounds with --kind audio, --rate, --seconds and --bands. If the
    proof fails, no bundle is written and the exit status is 1.
    """
    from edgefew_export.bundle_writer import export_bundle
    from edgefew_export.labelled_folder import read_labelled_folder
    from edgefew_export.sources.projected import ProjectionPlan
    from edgefew_export.triton import check_new, write_repository
    from edgefew_export.variants import MAX_LOSS, VariantPlan

    if not variants and (max_loss is not None or target is not None):
        raise click.UsageError("--max-loss and --target say how --variants are chosen. Give --variants too.")
    if (project is None) != (project_data is None) or (project is None and dimension is not None):
        raise click.UsageError(
            "--project, --project-data and --dimension belong together. Give the first two, or none."
        )
    if data is not None and project_data is not None and data.absolute() == project_data.absolute():
        raise click.UsageError(
            "--project-data is the folder of --data: the report would be about classes that the projection was fitted "
            "on. Give other classes."
        )
    if data is not None and hallucinate_data is not None and data.absolute() == hallucinate_data.absolute():
        raise click.UsageError(
            "--hallucinate is the folder of --data: the report would be about classes that the generator was fitted "
            "on. Give other classes."
        )
    if triton is not None:
        check_new(triton, bundle)
    folder = None if data is None else read_labelled_folder(data, source_pattern)
    plan = None
    if project is not None and project_data is not None:
        plan = ProjectionPlan(project, read_labelled_folder(project_data), dimension)
    base = None if hallucinate_data is None else read_labelled_folder(hallucinate_data, source_pattern)
    network = open_source(source, _declared(**declared), weights)
    # As an exception, SIGTERM lets the writer clear away what it had begun.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        opened = export_bundle(
            network,
            bundle,
            name=name,
            version=bundle_version,
            data=folder,
            projection=plan,
            hallucinate=base,
            variants=VariantPlan(variants, MAX_LOSS if max_loss is None else max_loss, target),
            measure=measure or bool(variants),
            command=told_command(click.get_current_context()),
            overwrite=overwrite,
            progress=lambda step: click.echo(f"{step} …", err=True),
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    if triton is not None:
        write_repository(opened, triton)
    report = opened.report()
    if as_json:
        written = {} if triton is None else {"triton": str(triton)}
        print_json({"bundle": str(bundle), "bundle_id": opened.id, **written, "report": report})
        return
    embedding, episodes = report["variants"]["fp32"]["embedding"], report["episodes"]
    worst = max(b["max_abs_error"] for b in embedding["batch_sizes"].values())
    accuracy = episodes["bundle"]
    sizes = ", ".join(embedding["batch_sizes"])
    click.echo(f"✓ embeddings equal those of {report['reference']} to {worst:.1e} at batch sizes {sizes}")
    click.echo(f"✓ resized frames: cosine at least {embedding['resized_frames']['cosine_min']:.5f}")
    click.echo(
        f"✓ {episodes['agreement']:.2%} of {episodes['decisions']} decisions over {accuracy['episodes']} episodes "
        f"agree ({episodes['agreement_with_own_resize']:.2%} where the bundle resizes by itself)"
    )
    click.echo(
        f"✓ {accuracy['way']}-way {accuracy['shot']}-shot on unseen classes: {accuracy['accuracy']:.1%} ± "
        f"{accuracy['ci95']:.1%}"
    )
    if "projection" in report:
        fitted = report["projection"]
        click.echo(
            f"  {fitted['kind']} projection, {fitted['from']} → {fitted['to']} values: "
            f"{fitted['without']['accuracy']:.1%} without it, {fitted['with']['accuracy']:.1%} with it"
        )
    if "refine" in report:
        told = report["refine"]
        click.echo(
            f"  `edgefew refine` with {told['unlabelled']} of each class: {told['gain']:+.1%} ± {told['gain_ci95']:.1%}"
        )
    for line in _generated(report):
        click.echo(line)
    click.echo(_promised(opened.manifest.operating_points))
    for line in _tried(report):
        click.echo(line)
    click.echo(f"{bundle}: bundle {opened.id[:12]}…, {report['variants']['fp32']['bytes']['embed'] / 1e6:.1f} MB")
    if triton is not None:
        click.echo(f"{triton}: model repository for Triton Inference Server")


_DECLARED: dict[str, tuple[Callable[..., Declared], tuple[str, ...]]] = {
    "image": (DeclaredInput, ("channels", "size", "scaling", "fit", "order")),
    "signal": (DeclaredSignal, ("channels", "samples", "normalize", "mean", "std", "seconds")),
    "audio": (DeclaredSound, ("rate", "seconds", "bands")),
}
"""What declares each kind of input, and by which options."""


def _declared(kind: str, **options: Any) -> Declared:
    """The declared input; options of other kinds are refused."""
    declare, own = _DECLARED[kind]
    if given := [name for name, value in options.items() if value is not None and name not in own]:
        shown = ", ".join(f"--{'image-size' if name == 'size' else name}" for name in given)
        other = next(other for other, (_, names) in _DECLARED.items() if given[0] in names)
        raise click.UsageError(
            f"{shown}: of {other}s alone, and the kind is {kind}. Leave them out, or give --kind {other}."
        )
    if kind == "image" and options["channels"] not in (1, 3, None):
        raise click.UsageError(
            f"--channels {options['channels']}: an image has 1 or 3. For a signal give --kind signal."
        )
    return declare(**{name: options[name] for name in own})


def _generated(report: Mapping[str, Any]) -> list[str]:
    """What generated examples give at each number of examples, for people."""
    if "hallucinate" not in report:
        return []
    told = report["hallucinate"]
    return [
        f"{'✓' if told['gain'][shot] else '!'} generated examples at {shot}-shot: {row['gain']:+.1%} ± "
        f"{row['gain_ci95']:.1%}: {'used' if told['gain'][shot] else 'not used'}"
        for shot, row in told["shots"].items()
    ]


def _tried(report: Mapping[str, Any]) -> list[str]:
    """What became of each variant that was tried, for people."""
    lines = []
    outcomes = report.get("variants_tried", {}).get("outcomes", [])
    for name in dict.fromkeys(outcome["variant"] for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome["variant"] == name]
        kept = [outcome for outcome in own if outcome["kept"]]
        why = "; ".join(dict.fromkeys(outcome["why"] for outcome in kept or own))
        lines.append(f"{'✓' if kept else '!'} {name}: {'kept' if kept else 'not kept'}: {why}")
    return lines


_NOT_TOLD = ("as_json", "overwrite", "triton")
"""Options that change nothing in the bundle."""


def told_command(context: click.Context) -> list[str]:
    """The words of this command line that were given, without the folders of paths: they are nobody's business."""
    words = [str(context.info_name)]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE or value is None:
            continue
        if isinstance(parameter, click.Argument):
            words.append(_told(value))
        elif name not in _NOT_TOLD:
            words.append(max(parameter.opts, key=len))
            words += [] if value is True else [_told(value)]
    return words


def _told(value: Any) -> str:
    """A value as it may have been typed."""
    if isinstance(value, tuple):
        return ("x" if all(isinstance(part, int) for part in value) else ",").join(map(str, value))
    path = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file())
    return Path(value).name if path else str(value)


def _promised(points: Sequence[OperatingPoint]) -> str:
    """Which false-accept rates the bundle promises by itself, for people."""
    from edgefew_export.calibration import classes_needed

    if not points:
        return (
            "! no false-accept rate is promised: the classes that training never saw are too few "
            f"({classes_needed(0.05)} are needed for 5 %). Give more with --data, or calibrate on site"
        )
    largest = {p.false_accept_rate: p.way for p in sorted(points, key=lambda p: p.way)}
    rates = ", ".join(f"{rate:g} (up to {largest[rate]:,} classes)" for rate in sorted(largest))
    return f"✓ false-accept rates promised from {points[0].stranger_classes} unseen classes: {rates}"
