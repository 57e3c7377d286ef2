"""Training: a labelled folder → pre-training and meta-training → checkpoint."""

from __future__ import annotations

import csv
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgefew_export.checkpoint import Checkpoint, read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import Evaluation
from edgefew_export.labelled_folder import LabelledFolder
from edgefew_runtime import DataError, FrameError, InputSpec, TrainingError

from .config import TrainingConfig
from .dataset import Frames, load_split, measured_input
from .learner import Learner
from .processes import Processes
from .progress import Step, Trained
from .projecting import check_projection, with_projection
from .resume import ResumeState, optimizer_tensors, restore_optimizer
from .running_means import RunningMeans
from .steps import StepLoss
from .tensorboard_log import TensorBoardLog
from .training_episodes import TrainingEpisodes
from .training_frames import TrainingFrames
from .validation import validate, validation_sampler

VALIDATE_EVERY = 200
SAVE_SECONDS = 60
WARM_UP = 20
WEIGHT_DECAY = 1e-4
LOG_COLUMNS = ("episode", "stage", "seconds", "loss", "accuracy", "validation_accuracy", "validation_ci95")


def train(
    folder: LabelledFolder,
    out: Path,
    config: TrainingConfig,
    *,
    held_out: LabelledFolder | None = None,
    init: Checkpoint | None = None,
    resume: bool = False,
    on_bad: Callable[[FrameError], None] | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
    on_end: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    processes: Processes = Processes(),  # noqa: B008
    tensorboard: Path | None = None,
) -> Trained:
    """Train a backbone on a labelled folder and write a checkpoint to `out`.

    Every so many steps classes that training never saw are asked about. The checkpoint is the latest whose accuracy is
    within the 95 % interval of the best.

    First pre-training, then meta-training, each as long as the config says.

    Every step, its batch or episode and its augmentation are decided by the seed and the step's number, so that a run
    that was interrupted and resumed ends with the same weights as one that was not (when the budget is in episodes, on
    the same machine).

    Args:
        folder: the data.
        out: where the checkpoint goes; `out`.resume and `out`.log.csv lie beside it.
        config: what to do.
        held_out: classes to choose the checkpoint by and to carry for calibration; a share of the folder's own,
            which are then not trained on, if not given.
        init: start from the weights of its backbone.
        resume: go on from `out`.resume.
        on_bad: called for an unreadable frame, which is left out; without it, such a frame ends the training.
        on_step: told how training stands, after each episode; raising KeyboardInterrupt there stops the run and saves
            its state.
        on_end: told what is done after the last episode, before it is.
        clock: seconds; a parameter so that tests need not wait.
        processes: which take part; the first of them writes the files, which all of them must be able to read.
        tensorboard: a folder for TensorBoard's log, too.

    Raises:
        DataError: too few classes or images for such episodes.
        TrainingError: nothing to resume from, or another run's state; the loss is not finite; another process ended.
        RuntimeMissingError: there is to be a log for TensorBoard, which is not installed.
        KeyboardInterrupt: from `on_step` in any process, after the state was saved.
    """
    board = TensorBoardLog(tensorboard if processes.is_first else None)
    device = choose_device(config.device)
    folder.check_kind(config.input())
    bf16 = choose_precision(config.precision, device) == "bf16"
    training, validation = load_split(folder, held_out, config, on_bad, out.parent)
    spec = measured_input(config, training)
    frames = TrainingFrames(training, config, device)
    torch.manual_seed(config.seed)
    learner = Learner(config, spec, frames.classes, bf16=bf16)
    if config.project != "none":
        check_projection(config.project, training, learner.dimensions)
    if config.pretrained:
        learner.start_from_published()
    if init is not None:
        learner.start_from(init)
    sampler = TrainingEpisodes(frames, config)
    validator = validation_sampler(validation, config)
    learner.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    optimizer = torch.optim.AdamW(learner.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    run = config.to_dict() | {"device": "any", "data_sha256": folder.content_sha256()}
    if held_out is not None:
        run["held_out_sha256"] = held_out.content_sha256()
    run["init_sha256"] = None if init is None else init.sha256
    run |= {"processes": processes.count, "precision": "bf16" if bf16 else "fp32"}
    run["sources"] = None if folder.sources is None else hashlib.sha256(folder.sources.tobytes()).hexdigest()
    processes.check_same(run)
    loop = _Loop(
        config,
        spec,
        learner,
        optimizer,
        training,
        frames,
        validation,
        validator,
        sampler,
        out,
        run,
        clock,
        on_step,
        processes,
        board,
    )
    if resume:
        loop.restore()
    elif processes.is_first:
        loop.start_anew()
    with board:
        loop.run()
    seconds = loop.seconds()
    if processes.is_first:
        if config.project != "none":
            on_end(f"fitting the projection ({config.project})")
            kept = read_checkpoint(out)
            with_projection(kept, config.project, training, validation, validator, device).save(out)
        loop.resume_path.unlink(missing_ok=True)
    processes.wait()  # who leaves early tears the connection
    kept = read_checkpoint(out)
    other = kept.training.get("validation_other")
    images = len(training.labels) + len(validation.labels)
    return Trained(
        loop.episode,
        seconds,
        kept.training["validation"]["accuracy"],
        "projected" in kept.settings,
        None if other is None else other["accuracy"],
        training.classes,
        validation.classes,
        images,
        len(folder) + (0 if held_out is None else len(held_out)) - images,
        device,
    )


def choose_device(device: str) -> str:
    """The device to train on, "cuda" or "cpu"; "auto" takes a GPU if PyTorch finds one.

    Raises:
        TrainingError: cuda was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise TrainingError(
            "--device cuda was asked for, but PyTorch finds no CUDA GPU. Check the driver, or use auto."
        )
    return "cuda" if device in ("auto", "cuda") and available else "cpu"


def choose_precision(precision: str, device: str) -> str:
    """What the network computes in, "bf16" or "fp32"; "auto" takes bfloat16 on a GPU that has it.

    Raises:
        TrainingError: bf16 was asked for and the GPU has none.
    """
    if device == "cpu":
        return "bf16" if precision == "bf16" else "fp32"
    has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not has_it:
        raise TrainingError("--precision bf16 was asked for, but the GPU does not compute in bfloat16. Use auto.")
    return "bf16" if precision != "fp32" and has_it else "fp32"


class _Loop:
    """One run, from its first or its next episode to its last."""

    def __init__(
        self,
        config: TrainingConfig,
        spec: InputSpec,
        learner: Learner,
        optimizer: torch.optim.Optimizer,
        training: Frames,
        frames: TrainingFrames,
        validation: Frames,
        validator: EpisodeSampler,
        sampler: TrainingEpisodes,
        out: Path,
        run: dict[str, Any],
        clock: Callable[[], float],
        on_step: Callable[[Step], None],
        processes: Processes,
        board: TensorBoardLog,
    ) -> None:
        self.config, self.spec, self.out = config, spec, out
        self.learner, self.optimizer = learner, optimizer
        self.training, self.frames, self.processes = training, frames, processes
        self.losses = processes.wrap(StepLoss(learner, frames, sampler, config), parts_rest=config.pretrain_share > 0)
        self.validation, self.validator, self.board = validation, validator, board
        self.run_description, self.clock, self.on_step = run, clock, on_step
        self.resume_path = out.with_name(out.name + ".resume")
        self.log_path = out.with_name(out.name + ".log.csv")
        self.episode, self.best, self._earlier, self._started = 0, -1.0, 0.0, clock()
        self._saved_at = 0.0

    def seconds(self) -> float:
        """Training time so far, over all sittings."""
        return self._earlier + self.clock() - self._started

    def run(self) -> None:
        """Train until the budget is used up."""
        losses: list[float] = []
        rights: list[float] = []
        self.learner.train()
        seconds = self.processes.from_first(self.seconds())
        while (progress := self.config.progress(self.episode, seconds)) < 1 or self.best < 0:
            stage, done = self.config.stage(progress)
            try:
                loss, right, seconds = self._step(stage, done)
            except DataError:
                self._save_state()  # an episode that cannot be drawn must not cost those before it
                raise
            self.episode += 1
            losses.append(loss)
            rights.append(right)
            progress = self.config.progress(self.episode, seconds)
            evaluation = None
            due = self.episode % VALIDATE_EVERY == 0 or progress >= 1 or self.config.stage(progress)[0] != stage
            if due:
                evaluation = self._validate() if self.processes.is_first else None
                self.best = self.processes.from_first(self.best)
            step = Step(
                self.episode, stage, progress, seconds, float(np.mean(losses)), float(np.mean(rights)), evaluation
            )
            if evaluation is not None:
                self._write_log(step)
                self.board.write(step)
            if due:
                losses, rights = [], []
            if due or seconds - self._saved_at > SAVE_SECONDS:
                self._save_state()
            interrupted = False
            try:
                self.on_step(step)
            except KeyboardInterrupt:
                interrupted = True
            if self.processes.any(interrupted):
                # Between two episodes the state is whole. An interrupt inside one is not saved: half a step is none.
                self._save_state()
                raise KeyboardInterrupt

    def start_anew(self) -> None:
        """Put away what an earlier run left; its checkpoint stays until this run's first one takes its place.

        Raises:
            TrainingError: nothing can be written there.
        """
        try:
            self.log_path.unlink(missing_ok=True)
            self.resume_path.write_bytes(b"")  # better to hear now than after the first 200 episodes
            self.resume_path.unlink()
        except OSError as error:
            raise TrainingError(f"{self.out.parent} cannot be written to: {error.strerror or error}.") from None

    def restore(self) -> None:
        """Go on from the saved state.

        Raises:
            TrainingError: there is none, or it is another run's.
        """
        if not self.resume_path.exists():
            raise TrainingError(f"There is nothing to resume: no {self.resume_path}. Start without --resume.")
        state = ResumeState.read(self.resume_path)
        for key, value in self.run_description.items():
            if key == "sources" and state.run.get(key) != value:
                raise TrainingError(f"{self.resume_path} is of a run with another --source-pattern. Give the same one.")
            if state.run.get(key) != value:
                raise TrainingError(
                    f"{self.resume_path} is of another run: {key} was {state.run.get(key)!r}, now {value!r}. "
                    "Use the same "
                    "options and data, or start anew with --replace."
                )
        self.learner.load_state_dict(dict(state.model))
        restore_optimizer(self.optimizer, state.optimizer)
        self.episode, self._earlier = state.episode, state.seconds
        # If the checkpoint was taken away meanwhile, the next one is the best there is.
        self.best = state.best_accuracy if self.out.exists() else -1.0

    def _step(self, stage: str, done: float) -> tuple[float, float, float]:
        """Loss, share right (means over the step's batches in all processes), and the first process's seconds."""
        rate = self.config.learning_rate * min(1.0, (self.episode + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        count, processes = self.config.accumulate, self.processes
        means = RunningMeans(self.learner.network.backbone) if count * processes.count > 1 else None
        told = torch.zeros(2, dtype=torch.float64, device=self.frames.device)
        self.optimizer.zero_grad()
        for part in range(count):
            # The same numbers however the batches of a step are spread over processes.
            number = (self.episode * count + part) * processes.count + processes.rank
            with processes.gradients(self.losses, average=part == count - 1):
                loss, right = self.losses(stage, number)
                (loss / count).backward()
            told += torch.stack([loss.detach(), right]) / count
            if means:
                means.end_batch()
        if means:
            means.end_step(count, processes)
        self.optimizer.step()
        value, share = processes.mean(told).tolist()
        seconds = processes.from_first(self.seconds())
        if not math.isfinite(value):
            raise TrainingError(f"The loss became {value} at step {self.episode}. Try a lower --learning-rate.")
        return value, share, seconds

    def _validate(self) -> Evaluation:
        self.learner.eval()
        evaluation = validate(self.learner.network, self.validation, self.validator, self.frames.device)
        self.learner.train()
        # The best of many is the luckiest, too; later steps, at lower rates, are better than that tells.
        if evaluation.accuracy >= self.best - (evaluation.ci95 or 0.0):
            self._checkpoint(evaluation).save(self.out)
        self.best = max(self.best, evaluation.accuracy)
        return evaluation

    def _checkpoint(self, evaluation: Evaluation) -> Checkpoint:
        config = self.config
        described = {
            "config": config.to_dict(),
            "processes": self.processes.count,
            "precision": self.run_description["precision"],
            "data_sha256": self.run_description["data_sha256"],
            "init_sha256": self.run_description["init_sha256"],
            **{name: sha for name, sha in self.run_description.items() if name == "held_out_sha256"},
            "classes": self.training.classes,
            "images": len(self.training.labels),
            "with_sources": self.training.sources is not None,
            "episode": self.episode,
            "validation": evaluation.to_dict(),
        }
        weights = {name: tensor.clone() for name, tensor in self.learner.network.backbone.state_dict().items()}
        return Checkpoint(
            config.backbone_name(),
            self.learner.settings,
            weights,
            self.spec,
            float(self.learner.head.scale.detach()),
            described,
            self.validation.held_out(),
        )

    def _save_state(self) -> None:
        self._saved_at = self.seconds()
        if not self.processes.is_first:
            return
        ResumeState(
            self.episode,
            self.seconds(),
            self.best,
            self.run_description,
            self.learner.state_dict(),
            optimizer_tensors(self.optimizer),
        ).save(self.resume_path)

    def _write_log(self, step: Step) -> None:
        is_new = not self.log_path.exists()
        with self.log_path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(list(LOG_COLUMNS))
            evaluation = step.validation
            if evaluation is not None:
                figures = (step.seconds, step.loss, step.accuracy, evaluation.accuracy, evaluation.ci95)
                writer.writerow([step.episode, step.stage, *(f"{figure:.4f}" for figure in figures)])
