"""A new bundle: enroll everything again from the frames that were kept, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import head
from .classifier import Classifier
from .errors import GalleryError, MigrationError
from .gallery import Example, Gallery, unpack_frame
from .leave_one_out import leave_one_out
from .new_file import new_file

_NAMED = 5


@dataclass(frozen=True)
class Migration:
    """What became of a migration.

    Attributes:
        classes: how many were enrolled again.
        examples: how many examples of them, negatives among them.
        strangers: how many of these.
        before: share of the examples that the old gallery recognises when each is left out in turn; None where no class
            has two.
        after: the same with the new bundle.
    """

    classes: int
    examples: int
    strangers: int
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
    progress: Callable[[int], None] = lambda _: None,
) -> Migration:
    """Write a gallery of the classifier's bundle with everything that another bundle's gallery holds.

    The old gallery is left as it is. The new one appears whole under its name, or not at all.

    Args:
        old: the gallery to take over; its frames must have been kept.
        classifier: embeds with the new bundle.
        out: the new gallery's path; nothing may be there.
        actor: who does it, for the new gallery's log.
        progress: told each frame that was embedded.

    Raises:
        MigrationError: a frame was not kept, or the old gallery is damaged; nothing was written.
        GalleryError: something is there already.
    """
    out = Path(out)
    if out.exists():
        raise GalleryError(f"{out} exists already. Give another name; a migration does not write over a gallery.")
    if problems := old.problems():
        raise MigrationError(f"The old gallery is not migrated: {'; '.join(problems)}. Restore a copy.")
    content, strangers = old.content(frames=True), old.strangers(frames=True)
    _refuse_missing([*(e for group in content.values() for e in group), *strangers])
    before = leave_one_out(content).accuracy()
    bundle = classifier.bundle
    with new_file(out) as part, Gallery(part, bundle.id, bundle.manifest.dimension) as new:
        embedded = {label: _embed(classifier, group, progress) for label, group in content.items()}
        new.take_over(old, embedded, _embed(classifier, strangers, progress), actor)
        after = leave_one_out(new.content()).accuracy()
    return Migration(len(content), sum(map(len, content.values())), len(strangers), before, after)


def _refuse_missing(examples: Sequence[Example]) -> None:
    missing = [example.source for example in examples if example.frame is None]
    if not missing:
        return
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    raise MigrationError(
        f"{len(missing)} of {len(examples)} frames were not kept ({', '.join(missing[:_NAMED])}{more}), so that they "
        "cannot be enrolled again. Nothing was written. Enroll them from their files with the new bundle, or take "
        "these examples out first: edgefew forget --example"
    )


def _embed(classifier: Classifier, examples: Sequence[Example], progress: Callable[[int], None]) -> list[Example]:
    result = []
    for example in examples:
        frame = unpack_frame(example.frame or b"", example.source)
        (row,) = classifier.embed([frame.values])
        if not head.valid_rows(row[None])[0]:
            raise MigrationError(
                f"{example.source} gives no usable embedding with the new bundle. Nothing was written."
            )
        result.append(replace(example, embedding=head.to_grid(row[None])[0]))
        progress(1)
    return result
