"""The operating point that a teacher chose in the console, kept beside the gallery for the next start."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from ..errors import GalleryError
from ..operating_point import is_number
from ..regular_file import read_regular

_LARGEST = 1000


class ChosenRate:
    """The file beside a gallery that holds the false-accept rate last chosen.

    Args:
        gallery: the gallery's path.
    """

    def __init__(self, gallery: Path) -> None:
        self.file = gallery.with_name(gallery.name + ".operating-point.json")

    def read(self, default: float) -> float | None:
        """The rate, None for "always answer"; the default where none was chosen.

        Raises:
            GalleryError: the file is not as it was written.
        """
        try:
            told = json.loads(read_regular(self.file, _LARGEST))
            rate = told["false_accept_rate"]
            if rate is not None and not (is_number(rate) and 0 < rate < 1):
                raise ValueError(f"a rate of {rate!r}")
        except FileNotFoundError:
            return default
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(
                f"{self.file} does not hold an operating point ({error}). Delete it, and choose one in the console, or "
                "give --false-accept-rate."
            ) from None
        return rate if rate is None else float(rate)

    def write(self, rate: float | None) -> None:
        """Keep the rate; the one before stays until this one is on the disk.

        Raises:
            GalleryError: it cannot be written.
        """
        part = self.file.with_name(f".{self.file.name}.{os.getpid()}.part")
        try:
            with part.open("w") as file:
                json.dump({"false_accept_rate": rate}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.file)
        except OSError as error:
            raise GalleryError(f"{self.file} cannot be written: {error.strerror or error}.") from None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
