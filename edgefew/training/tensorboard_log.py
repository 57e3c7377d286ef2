"""The log for TensorBoard, an extra."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgefew_runtime import RuntimeMissingError

if TYPE_CHECKING:
    from .progress import Step


class TensorBoardLog:
    """Writes what the CSV log has into a folder that `tensorboard --logdir` reads.

    Args:
        folder: where; made where it is not there. None: nothing is written.

    Raises:
        RuntimeMissingError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer: Any = None
        if folder is not None:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError:
                raise RuntimeMissingError(
                    "--tensorboard needs the package tensorboard. Install it: pip install 'edgefew[tensorboard]'."
                ) from None

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, step: Step) -> None:
        """A point of each curve. The first hides what an earlier run wrote of the same and later steps."""
        if self._folder is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step.episode)
        figures = {"loss": step.loss, "accuracy": step.accuracy, "seconds": step.seconds}
        if step.validation is not None:
            figures["validation/accuracy"] = step.validation.accuracy
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step.episode)
        self._writer.flush()
