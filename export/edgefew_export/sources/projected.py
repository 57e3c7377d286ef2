"""A source with a projection after its network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..evaluation import embed_folder
from ..graphs import project
from ..labelled_folder import LabelledFolder
from ..projection import fit_projection
from .source import Source


@dataclass(frozen=True)
class ProjectionPlan:
    """What projection is wanted.

    Attributes:
        kind: a name of `projection.KINDS`.
        folder: labelled pictures to fit it on; not those that the bundle is proved on.
        dimension: how many values an embedding then has; as many as the kind gives if not said.
    """

    kind: str
    folder: LabelledFolder
    dimension: int | None = None


def projected(source: Source, plan: ProjectionPlan) -> Source:
    """The source with the planned projection, fitted.

    Raises:
        DataError: the folder has too few frames or classes for it.
    """
    (features,), kept = embed_folder(plan.folder, [source.reference], load=source.input.load)
    projection = fit_projection(plan.kind, features, plan.folder.labels[kept], plan.dimension)
    described = {
        "kind": plan.kind,
        "from": features.shape[1],
        "to": projection.matrix.shape[1],
        "classes": len(plan.folder.classes),
        "images": len(kept),
        "folder_sha256": plan.folder.content_sha256(),
    }
    return replace(
        source,
        graph=lambda: project(source.graph(), projection),
        reference=lambda frames: projection.apply(source.reference(frames)),
        lineage={**source.lineage, "projection": described},
    )
