"""`edgefew train`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from edgefew_runtime import TrainingError
from edgefew_runtime.commands.options import json_option, print_json
from edgefew_runtime.input_spec import NORMALIZATIONS

from .config_file import config_option
from .options import (
    device_option,
    exclude_option,
    skip_bad_option,
    source_pattern_option,
    tell_bad,
)

if TYPE_CHECKING:
    from edgefew_export.checkpoint import Checkpoint

    from edgefew.training.processes import Processes
    from edgefew.training.progress import Step


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option("data")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the checkpoint goes.")
@click.option(
    "--held-out",
    type=click.Path(path_type=Path),
    help="A folder of classes that the checkpoint is chosen by and the bundle calibrated on. Default: 15 % of the "
    "classes, which are then not trained on.",
)
@click.option(
    "--backbone",
    help="The network that embeds. Default: conv4 for images, resnet1d for signals, melnet for audio. Several joined "
    "by + learn apart and embed together: resnet8@32+efficientnet_lite0, the first at 32 pixels a side.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Start from the weights of another checkpoint; its backbone and input are this one's, unless said otherwise.",
)
@click.option("--pretrained", is_flag=True, help="Start from the weights published for the backbone.")
@click.option(
    "--freeze",
    default=0,
    show_default=True,
    help="How many of the backbone's first parts (layers, or blocks of layers) stay as they are; of several backbones, "
    "of those with published weights.",
)
@click.option(
    "--head",
    default="cosine",
    show_default=True,
    help="What decides in a training episode: cosine, euclidean, ridge, simpleshot.",
)
@click.option(
    "--scale",
    type=float,
    help="The factor on the head's scores at first; it is learned. The higher, the less pulls what is right already. "
    "Default: 10; with --init and the same head, what that checkpoint learned.",
)
@click.option(
    "--pretrain-share",
    default=0.0,
    type=click.FloatRange(0, 1),
    show_default=True,
    help="The share of the budget that first goes to supervised pre-training on the training classes.",
)
@click.option("--batch-size", default=64, show_default=True, help="Frames of a step of pre-training.")
@click.option(
    "--mixup", default=0.0, show_default=True, help="Pre-training on mixed images: alpha of the shares; 0 for none."
)
@click.option(
    "--rotations",
    type=click.Choice(["none", "classes", "predict"]),
    default="none",
    show_default=True,
    help="Images in quarter turns: as further classes, in both stages; or to be told apart, in pre-training.",
)
@click.option(
    "--augment",
    default="light",
    show_default=True,
    help="How training frames are changed. Images: none, light, drawing, photo, microscope. Signals: none, light, "
    "rough. Audio: none, light.",
)
@click.option(
    "--task-augment",
    default="none",
    show_default=True,
    help="How the classes of an episode are changed as a whole, each into a further one. Images: none, warp.",
)
@click.option("--way", default=20, show_default=True, help="Classes in a training episode.")
@click.option("--shot", default=1, show_default=True, help="Support examples of each class.")
@click.option("--query", default=2, show_default=True, help="Queries of each class.")
@click.option(
    "--unlabelled",
    default=0,
    show_default=True,
    help="Further frames of each class in an episode, whose labels are not told: they refine the prototypes, as "
    "`edgefew refine` does on a device.",
)
@click.option(
    "--distractors",
    default=0,
    show_default=True,
    help="Further classes in an episode of which there are unlabelled frames alone.",
)
@click.option(
    "--in-turn", is_flag=True, help="Each frame of an episode is in its turn an example, and all others are asked."
)
@click.option(
    "--group-share",
    default=0.0,
    type=click.FloatRange(0, 1),
    show_default=True,
    help="The share of episodes whose classes are of one group, or of as few as have enough: the folder above the "
    "classes' own, as of the characters of an alphabet.",
)
@click.option(
    "--accumulate",
    default=1,
    show_default=True,
    help="Batches or episodes of one step in each process; their gradients are averaged.",
)
@click.option(
    "--kind",
    type=click.Choice(["image", "signal", "audio"]),
    help="What the folder holds. Default: what is found in it.",
)
@click.option("--image-size", type=int, help="Images: pixels a side that the network sees. Default: 32.")
@click.option(
    "--frame",
    type=int,
    help="Images: the network's first layer moves what is drawn to the middle and brings it to one size, at so many "
    "pixels a side. Default: images are taken as they are.",
)
@click.option(
    "--channels", type=int, help="Images: 1 for grey, 3 for colour (default). Signals: as many as the first window has."
)
@click.option("--samples", type=int, help="Signals: how many a window is resampled to. Default: 256.")
@click.option(
    "--normalize",
    type=click.Choice(NORMALIZATIONS),
    help="Signals: each channel of each window to mean 0 and deviation 1 (window, the default), by the mean and "
    "deviation of the training classes, or not.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Signals: how long a window lasts, to be told. Audio: how much is heard of a recording. Default: 1; "
    "by speech_embedding 1.6.",
)
@click.option("--rate", type=int, help="Audio: samples a second that recordings are brought to. Default: 16000.")
@click.option("--bands", type=int, help="Audio: bands of the mel spectrogram. Default: 40.")
@click.option("--episodes", type=int, help="Stop after so many steps: batches of pre-training and episodes.")
@click.option("--minutes", type=float, help="Stop after so many minutes. Default: 10, if --episodes is not given.")
@click.option("--learning-rate", default=2e-3, show_default=True, help="At its highest; it falls along a cosine.")
@click.option(
    "--project",
    default="none",
    show_default=True,
    help="What is fitted on the training classes at the end, as the network's last layer: none, centre, whiten, lda, "
    "wccn (shortens the directions in which frames of one class differ).",
)
@click.option(
    "--seed",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="Decides the split, weights, episodes, augmentation.",
)
@device_option
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="What the network computes in while it learns; auto takes bf16 on a GPU that has it. Weights stay fp32.",
)
@click.option("--compile", is_flag=True, help="Compile the network by torch.compile, which needs a C++ compiler.")
@source_pattern_option
@exclude_option
@skip_bad_option
@click.option(
    "--tensorboard",
    type=click.Path(path_type=Path),
    help="A folder for a log that TensorBoard reads, too; needs the extra tensorboard.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted training; give the same options.")
@click.option("--replace", "overwrite", is_flag=True, help="Start anew over a checkpoint that is there.")
@json_option
def train(
    data: tuple[Path, ...],
    out: Path,
    source_pattern: str | None,
    exclude: tuple[str, ...],
    skip_bad: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    kind: str | None,
    held_out: Path | None,
    init: Path | None,
    tensorboard: Path | None,
    **settings: Any,
) -> None:
    """Train a backbone on labelled folders: a class is a folder of images, signals or recordings.

    Of several folders, each gives as many episodes as the others, however many classes it has.

    First, if wanted, it learns to tell all training classes apart (pre-training); then, in episodes, to tell classes
    apart from a few examples (meta-training). Some classes are held out: they choose the checkpoint that is kept, the
    latest within the 95 % interval of the best. Ctrl-C stops and keeps everything for --resume. A log as CSV lies
    beside the checkpoint. Started by torchrun, several processes train together.
    """
    from edgefew_export.checkpoint import read_checkpoint
    from edgefew_export.labelled_folder import read_frames, read_labelled_folders

    from edgefew.training.config import TrainingConfig
    from edgefew.training.loop import choose_device
    from edgefew.training.loop import train as run_training
    from edgefew.training.processes import joined

    if settings["episodes"] is None and settings["minutes"] is None:
        settings["minutes"] = 10.0
    _check_out(out, resume, overwrite)
    if init is not None and settings["pretrained"]:
        raise click.UsageError("--init and --pretrained both say where to start from; give one of them.")
    start = None if init is None else read_checkpoint(init)
    folder = read_labelled_folders(data, source_pattern, exclude, kind)
    if folder.kind == "text":
        raise TrainingError(
            f"{folder.root} holds texts. No network of texts is trained here: `edgefew export sentence_encoder` "
            "has one that is trained."
        )
    _refuse_foreign(folder.kind, settings)
    if start is not None:
        _take_over(start, folder.kind, settings)
    if folder.kind == "signal" and settings["channels"] is None:
        settings["channels"] = next(read_frames(folder, tell_bad(skip_bad)))[1].shape[1]
    settings |= {"source_pattern": source_pattern, "exclude": exclude}
    config = TrainingConfig(kind=folder.kind, **{name: value for name, value in settings.items() if value is not None})
    held = None if held_out is None else read_labelled_folders((held_out,), source_pattern, (), kind)
    with joined(choose_device(config.device)) as processes:
        bar = _ProgressBar(processes)
        before = {number: signal.signal(number, bar.stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            trained = run_training(
                folder,
                out,
                config,
                held_out=held,
                init=start,
                resume=resume,
                on_bad=tell_bad(skip_bad, quiet=not processes.is_first),
                on_step=bar.update,
                on_end=bar.end,
                processes=processes,
                tensorboard=tensorboard,
            )
        except KeyboardInterrupt:
            bar.say(f"stopped; everything is kept. Go on: the same command with --resume ({out})")
            sys.exit(130)
        finally:
            bar.close()
            for number, handler in before.items():
                signal.signal(number, handler)
    if not processes.is_first:
        return
    if as_json:
        print_json({"checkpoint": str(out), **trained.__dict__})
        return
    other = ""
    if trained.validation_other is not None:
        which = "before the projection" if trained.projected else "with the projection, which was left out"
        other = f"; {trained.validation_other:.1%} {which}"
    click.echo(
        f"{out}: {trained.episodes} steps in {trained.seconds:.0f} s on {trained.device}, "
        f"{trained.validation:.1%} on {trained.validation_classes} unseen classes (validation{other})"
    )
    if trained.skipped:
        click.echo(f"{trained.skipped} files could not be read and were left out")


_OWN = {
    "image": ("channels", "image_size", "frame"),
    "signal": ("channels", "samples", "normalize", "seconds"),
    "audio": ("seconds", "rate", "bands"),
}
"""The options that say what a network of each kind takes."""


def _refuse_foreign(kind: str, settings: Mapping[str, Any]) -> None:
    foreign = {name for names in _OWN.values() for name in names} - set(_OWN[kind])
    if given := [f"--{name.replace('_', '-')}" for name in settings if name in foreign and settings[name] is not None]:
        raise click.UsageError(f"{', '.join(given)} cannot be given: the folder holds {kind}s. Leave it out.")


def _take_over(start: Checkpoint, kind: str, settings: dict[str, Any]) -> None:
    """Give what was not said the value that it has in the checkpoint to start from."""
    if start.input.kind != kind:
        raise TrainingError(f"--init is a checkpoint of {start.input.kind}s; the folder holds {kind}s. Give another.")
    known = {**start.training["config"], "backbone": start.backbone}
    for name in ("backbone", *_OWN[kind]):
        if settings[name] is None:
            settings[name] = known.get(name)
    if settings["scale"] is None and settings["head"] == known.get("head"):
        settings["scale"] = start.scale


def _check_out(out: Path, resume: bool, overwrite: bool) -> None:
    state = out.with_name(out.name + ".resume")
    if not out.absolute().parent.is_dir():
        raise TrainingError(f"There is no folder {out.absolute().parent} for the checkpoint. Create it first.")
    if out.is_dir():
        raise TrainingError(f"{out} is a folder; a name for the checkpoint's file was expected.")
    if resume and overwrite:
        raise click.UsageError("--resume goes on and --replace starts anew; give one of them.")
    if resume or overwrite:
        return
    if state.exists():
        raise TrainingError(
            f"An interrupted training lies at {state}. Use --resume to go on, or --replace to start anew."
        )
    elif out.exists():
        raise TrainingError(f"{out} exists already. Use --replace to train over it, or give another name.")


class _ProgressBar:
    """Share of the budget, time left, loss and accuracy; on standard error."""

    def __init__(self, processes: Processes) -> None:
        from tqdm import tqdm

        self._processes = processes
        self._bar = tqdm(
            total=100,
            desc="training",
            bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining} {postfix}",
            disable=not processes.is_first,
        )
        self._validation = ""
        self._stopping = self._ending = False

    def say(self, text: str) -> None:
        """Tell it once, however many processes there are."""
        if self._processes.is_first:
            click.echo(text, err=True)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """End the run after the present episode; asked a second time, at once."""
        if self._stopping and self._processes.count == 1:  # torchrun passes on a Ctrl-C that the terminal gave, too
            raise SystemExit(128 + signum)
        if not self._stopping:
            once_more = "; once more to stop at once" if self._processes.count == 1 else ""
            last = "the projection, which --resume makes, too" if self._ending else "the present episode"
            self.say(f"\nstopping after {last}{once_more}")
        self._stopping = True

    def update(self, step: Step) -> None:
        if step.validation is not None:
            self._validation = f", unseen classes {step.validation.accuracy:.1%}"
        self._bar.set_postfix_str(
            f"{step.stage}, step {step.episode}, loss {step.loss:.2f}, accuracy {step.accuracy:.0%}{self._validation}",
            refresh=False,
        )
        self._bar.update(max(0.0, 100 * step.progress - self._bar.n))
        if self._stopping:
            raise KeyboardInterrupt

    def end(self, text: str) -> None:
        """Say what is done after the last episode."""
        self._ending = True
        self._bar.set_postfix_str(text)

    def close(self) -> None:
        self._bar.close()
