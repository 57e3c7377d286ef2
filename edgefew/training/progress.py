"""What a training tells: how it stands, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgefew_export.evaluation import Evaluation


@dataclass(frozen=True)
class Step:
    """How training stands: for progress bars and logs.

    Attributes:
        episode: how many steps were done, of both stages.
        stage: "pre-training" or "meta-training".
        progress: share of the budget used, 0 to 1.
        seconds: training time so far.
        loss: mean since the last step told.
        accuracy: on training episodes or batches, mean since the last step told.
        validation: accuracy on unseen classes, where it was just measured.
    """

    episode: int
    stage: str
    progress: float
    seconds: float
    loss: float
    accuracy: float
    validation: Evaluation | None


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        episodes: steps of both stages.
        seconds: how long they took.
        validation: accuracy of the checkpoint on unseen classes.
        projected: whether it has a projection at its end.
        validation_other: the accuracy without it, or with that which was left out; None where none was wanted.
        classes: how many were trained on.
        validation_classes: how many were not.
        images: how many frames there were of both.
        skipped: how many more could not be read.
        device: where the network learnt.
    """

    episodes: int
    seconds: float
    validation: float
    projected: bool
    validation_other: float | None
    classes: int
    validation_classes: int
    images: int
    skipped: int
    device: str
