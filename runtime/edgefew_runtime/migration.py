"""A new bundle: enroll everything again from the frames that were kept, all or nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import head
from .classifier import Classifier
from .errors import MigrationError
from .frames import FrameLike
from .gallery import EnrolledExample, Example, Gallery, unpack_frame
from .leave_one_out import leave_one_out
from .new_file import new_file

_NAMED = 5


@dataclass(frozen=True)
class Migration:
    """What became of a migration.

    Attributes:
        classes: how many were enrolled again.
        examples: how many examples of them, rejected ones among them.
        strangers: how many of these.
        unlabelled: how many that were given to refine with.
        before: share of the examples that the old gallery recognises when each is left out in turn; None where no class
            has two.
        after: the same with the new bundle.
    """

    classes: int
    examples: int
    strangers: int
    unlabelled: int
    before: float | None
    after: float | None

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew migrate --json` prints it."""
        return asdict(self)


def migrate(
    old: Gallery,
    classifier: Classifier,
    out: str | Path,
    actor: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Migration:
    """Write a gallery of the classifier's bundle with everything that another bundle's gallery holds.

    The old gallery is left as it is. The new one appears whole under its name, or not at all. Frames run together as
    `enroll` runs them, and no more of them are held.

    Args:
        old: the gallery to take over; its frames must have been kept.
        classifier: embeds with the new bundle.
        out: the new gallery's path; nothing may be there.
        actor: who does it, for the new gallery's log.
        progress: told of each frame that was taken up how many these are, of how many.

    Raises:
        MigrationError: a frame was not kept, or the old gallery is damaged or was changed meanwhile; nothing was
            written.
        GalleryError: something is there already, or cannot be written.
    """
    bundle, version = classifier.bundle, old.version()
    with new_file(Path(out)) as part:
        if problems := old.problems():
            raise MigrationError(f"The old gallery is not migrated: {'; '.join(problems)}. Restore a copy.")
        content, strangers, unlabelled = old.content(), old.strangers(), old.unlabelled()
        held = [entry for label in (*content, None) for entry in old.examples(label)]
        _refuse_missing(held + old.unlabelled_examples())
        before = leave_one_out(content).accuracy()
        total = sum(map(len, content.values())) + len(strangers) + len(unlabelled)
        done = itertools.count(1)

        def frames(examples: Sequence[Example]) -> Iterator[FrameLike]:
            for example in examples:
                yield unpack_frame(old.frame(example.source_sha256) or b"", example.source)
                progress(next(done), total)

        def embedded(examples: Sequence[Example]) -> Iterator[Example]:
            rows = classifier.embed(frames(examples))
            _refuse_unusable(examples, rows)
            for example, row in zip(examples, head.to_grid(rows), strict=True):
                # Read once more: held since they were embedded, a class's frames might not fit into memory.
                yield replace(example, embedding=row, frame=old.frame(example.source_sha256))

        with Gallery(part, bundle.id, bundle.manifest.dimension) as new:
            classes = {label: embedded(group) for label, group in content.items()}
            new.take_over(old, classes, embedded(strangers), embedded(unlabelled), actor)
            after = leave_one_out(new.content()).accuracy()
        if old.version() != version:
            raise MigrationError("The old gallery was changed meanwhile. Nothing was written. Run it again.")
    return Migration(len(content), sum(map(len, content.values())), len(strangers), len(unlabelled), before, after)


def _refuse_missing(examples: Sequence[EnrolledExample]) -> None:
    missing = [example.source for example in examples if not example.frame_kept]
    if not missing:
        return
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    raise MigrationError(
        f"{len(missing)} of {len(examples)} frames were not kept ({', '.join(missing[:_NAMED])}{more}), so that they "
        "cannot be enrolled again. Nothing was written. Enroll the same files again with the old bundle and "
        "--keep-frames, which adds what lacks; or take these examples out first: edgefew forget --example"
    )


def _refuse_unusable(examples: Sequence[Example], rows: head.Embeddings) -> None:
    for example, good in zip(examples, head.valid_rows(rows), strict=True):
        if not good:
            raise MigrationError(
                f"{example.source} gives no usable embedding with the new bundle. Nothing was written. Take it out "
                "first: edgefew forget --example"
            )
