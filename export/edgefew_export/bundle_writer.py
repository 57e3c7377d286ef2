"""From a source to a bundle: graphs, proof, calibration, then all files at once or none."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import Bundle, DataError, ExportError, Manifest, OperatingPoint, head
from edgefew_runtime.bundle import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    REPORT_FILE,
    SUMS_FILE,
    VARIANT,
    sums_text,
)
from edgefew_runtime.frames import RawFrame
from edgefew_runtime.hallucination import COMPONENT as HALLUCINATE
from edgefew_runtime.hallucination import Hallucination
from edgefew_runtime.refinement import REFINE, Refinement
from edgefew_runtime.selftest import check_golden, check_head, check_refine
from edgefew_runtime.session import OrtSession
from edgefew_runtime.structure import check_structure

from .curves import accuracy_over_shots, score_histograms
from .destination import write_files
from .episodes import EpisodeSampler
from .evaluation import BATCH, Embed, embed_folder, evaluate
from .graphs import classify_graph, enroll_graph, hallucinate_graph, refine_graph, serialize
from .hallucination import compare_generated, fit_hallucination, gains, left_out
from .labelled_folder import LabelledFolder
from .measured import write_measured
from .model_card import model_card
from .open_set import open_set
from .preprocessing import resize
from .proof import EPISODES, HELD_OUT, ProofFrames, compare_decisions, compare_embeddings, golden_frames
from .refinement import RefinedEvaluation, evaluate_refinement
from .scale import EPISODES as SCALE_EPISODES
from .scale import fit_scale
from .sources.projected import ProjectionPlan, projected
from .sources.source import Source
from .variants import MIN_SPEEDUP, Proof, Trial, Variant, VariantPlan, calibrate_variants, try_variants

SEED = 0
_IMAGE_METADATA = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "NominalRange_0_255"}
MAX_WAY = 20
UNLABELLED = (5, 1)
"""Unlabelled frames of each class that the report on refining is about: the most for which there are enough."""

LINEAGE_PACKAGES = ("edgefew-export", "edgefew-runtime", "torch", "onnx", "onnxruntime")


def export_bundle(
    source: Source,
    out: Path,
    *,
    name: str | None = None,
    version: str = "1",
    data: LabelledFolder | None = None,
    projection: ProjectionPlan | None = None,
    hallucinate: LabelledFolder | None = None,
    variants: VariantPlan | None = None,
    measure: bool = False,
    command: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write a source as a bundle, and open it as a device would; gives the opened bundle.

    Args:
        source: the network with its preprocessing (`sources.open_source`).
        out: the bundle's directory.
        name: the bundle's name; the directory's without its suffix if not given.
        version: the bundle's own version.
        data: classes that training never saw, to prove and calibrate on; those that the source carries if not given.
        projection: a linear map to put after the network.
        hallucinate: classes to fit a generator of examples on; those to prove on are left out of them.
        variants: other precisions to try; none if not given.
        measure: also write what the bundle costs on this machine to a file beside it (`measured.measured_file`).
        command: the words of the command line, to be told in the lineage; no paths.
        overwrite: put the new bundle in the place of one that is there.
        progress: told each step.

    Raises:
        DataError: the classes to prove on, or to fit the projection or the generator on, are too few.
        ExportError: the proof failed, or `out` is there already; no bundle was written.
    """
    if out.exists() and not overwrite:
        raise ExportError(
            f"{out} exists already. Use --replace to put the new bundle in its place, or give another name."
        )
    if out.exists() and not (out / SUMS_FILE).is_file():
        raise ExportError(f"{out} is there and is not a bundle; it is not replaced. Give another name.")
    if not out.absolute().parent.is_dir():
        raise ExportError(f"There is no folder {out.absolute().parent} to write the bundle to. Create it first.")
    settings = _Settings(name or out.name.split(".")[0] or out.name, version, tuple(command))
    files, trial = _make_files(source, settings, data, projection, hallucinate, variants or VariantPlan(), progress)
    progress("writing")
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise ExportError(f"{out.absolute().parent} cannot be written to: {error.strerror or error}.") from None
    try:
        write_files(part, files)
        _check_as_device(part)
        _move(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    opened = Bundle.open_unsigned(out)
    if measure:
        write_measured(opened, trial.speed, progress)
    return opened


@dataclass(frozen=True)
class _Settings:
    """What a bundle says of itself that nothing is computed from."""

    name: str
    version: str
    command: tuple[str, ...]


def _make_files(
    source: Source,
    settings: _Settings,
    data: LabelledFolder | None,
    plan: ProjectionPlan | None,
    base: LabelledFolder | None,
    variants: VariantPlan,
    progress: Callable[[str], None],
) -> tuple[dict[str, bytes], Trial]:
    spec, refinement = source.input, Refinement()
    plain = source
    if plan is not None:
        progress("fitting the projection")
        source = projected(source, plan)
    progress("exporting the graphs")
    models = {
        "embed": serialize(
            source.graph(),
            "embed",
            {
                "edgefew.input": json.dumps(spec.to_dict(), sort_keys=True),
                **(_IMAGE_METADATA if spec.kind == "image" else {}),
            },
        ),
        "enroll": serialize(enroll_graph(), "enroll", {}),
        "classify": serialize(classify_graph(), "classify", {}),
        REFINE: serialize(refine_graph(refinement), REFINE, {}),
    }
    session = OrtSession(models["embed"])
    golden = golden_frames(spec)
    progress(f"comparing embeddings with {source.framework}")
    embedding_report = compare_embeddings(golden, source.reference, session, spec.raw_shape)

    def bundle(frames: list[RawFrame]) -> head.Embeddings:
        return np.concatenate([session.run({"frames": frame[None]})[0] for frame in frames])

    def fitted(frames: list[RawFrame]) -> head.Embeddings:
        return bundle([resize(frame, spec) for frame in frames])

    embedders: dict[str, Embed] = {"reference": source.reference, "bundle": bundle}
    if data is not None:  # held-out frames have the backbone's size already
        embedders["fitted"] = fitted
    if plan is not None:
        embedders["plain"] = plain.reference
    parts, labels, sources = _embedded(source, data, list(embedders.values()))
    made = dict(zip(embedders, parts, strict=True))
    frames = ProofFrames(made["reference"], made.get("fitted", made["bundle"]), made["bundle"], labels, sources)
    sampler = _sampler(frames)
    generated = None
    if base is not None:
        progress("fitting the generator of examples")
        generated = _generated(source, base, frames, sampler.way)
        models[HALLUCINATE] = generated.model
    progress("comparing decisions over episodes")
    episode_report = compare_decisions(frames, sampler)
    golden_embeddings = source.reference(golden)
    proof = Proof(
        models["embed"],
        frames.bundle,
        frames.reference,
        golden,
        golden_embeddings,
        sampler,
        lambda numbers: _frames_at(source, data, numbers),
        lambda embed: _embedded(source, data, [embed])[0][0],
        golden_frames(spec, SEED + 1) if spec.kind == "text" else (),  # other languages than the proof's, longer ones
    )
    trial = try_variants(proof, variants, progress)
    progress("calibrating thresholds")
    points, coverages, calibrated = calibrate_variants(proof, trial.kept, frames.labels, frames.sources, SEED)
    scale, scale_report = fit_scale(frames.bundle, sampler)
    manifest = Manifest(
        settings.name,
        settings.version,
        frames.bundle.shape[1],
        "cosine",
        scale,
        spec,
        tuple(points),
        tuple(coverages),
        _lineage(source, settings.command),
        {name: made.calibration for name, made in calibrated.items()},
        hallucination=None if generated is None else generated.record,
        refinement=refinement,
    )

    def told_apart(embeddings: head.Embeddings, points: Sequence[OperatingPoint]) -> dict[str, Any]:
        rates = tuple(sorted({point.false_accept_rate for point in points}))
        return open_set(embeddings, frames.labels, frames.sources, rates, SEED)

    report: dict[str, Any] = {
        "format": 1,
        "variants": {
            VARIANT: {
                "embedding": embedding_report,
                "bytes": {c: len(m) for c, m in models.items()},
                "sha256": {c: hashlib.sha256(m).hexdigest() for c, m in models.items()},
            },
            **{
                v.name: {
                    **v.report,
                    "calibration": calibrated[v.name].scale_report,
                    "open_set": told_apart(v.embeddings, calibrated[v.name].calibration.operating_points),
                }
                for v in trial.kept
            },
        },
        "reference": source.framework,
        "episodes": episode_report,
        "calibration": scale_report,
        "open_set": told_apart(frames.bundle, points),
        "shots": accuracy_over_shots(frames.bundle, frames.labels, frames.sources, sampler.way, SEED),
        "scores": score_histograms(frames.bundle, frames.labels, frames.sources, sampler.way, SEED),
        "proved_on": {
            "from": HELD_OUT if data is None else "a labelled folder given at export",
            "classes": int(frames.labels.max()) + 1,
            "images": len(frames.labels),
            "sources": None if frames.sources is None else len(np.unique(frames.sources)),
        }
        | ({} if data is None else {"data_sha256": data.content_sha256()}),
    }
    if plan is not None:
        report["projection"] = {
            **source.lineage["projection"],
            "without": evaluate(made["plain"], sampler, EPISODES).to_dict(),
            "with": episode_report["bundle"],
        }
    if (refined := _refined(frames, sampler.way, refinement)) is not None:
        report[REFINE] = refined.to_dict()
    if generated is not None:
        report[HALLUCINATE] = generated.report
    if variants.names:
        report["variants_tried"] = {
            "target": variants.target or "this machine",
            "max_loss": variants.max_loss,
            "least_speedup": MIN_SPEEDUP,
            "outcomes": list(trial.outcomes),
        }
    files = _as_files(models, trial.kept, manifest, report, _golden_file(golden, golden_embeddings), source.files)
    return files, trial


def _refined(frames: ProofFrames, way: int, refinement: Refinement) -> RefinedEvaluation | None:
    """What unlabelled frames give at one example of each class; None where there are too few for such episodes."""
    labels, sources = frames.labels, frames.sources
    for unlabelled in UNLABELLED:
        with contextlib.suppress(DataError):
            sampler = EpisodeSampler(
                labels, sources=sources, way=way, shot=1, query=unlabelled + 1, seed=SEED, checked=EPISODES
            )
            return evaluate_refinement(
                frames.bundle, sampler, EPISODES, unlabelled=unlabelled, distractors=0, refinement=refinement
            )
    return None


@dataclass(frozen=True)
class _Generated:
    """The graph `hallucinate`, how it is used, and what the report says of it."""

    model: bytes
    record: Hallucination
    report: dict[str, Any]


def _generated(source: Source, base: LabelledFolder, frames: ProofFrames, way: int) -> _Generated:
    base.check_kind(source.input)
    (embeddings,), kept = embed_folder(base, [source.reference])
    asked = left_out(embeddings, base.labels[kept], frames.reference)
    used = ~np.isin(base.labels[kept], asked)
    classes, labels = np.unique(base.labels[kept][used], return_inverse=True)
    fitted = fit_hallucination(
        embeddings[used], labels, None if base.sources is None else base.sources[kept][used], SEED
    )
    model = serialize(hallucinate_graph(fitted.generator), HALLUCINATE, {})
    error = compare_generated(fitted, fitted.record(), OrtSession(model), frames.bundle)
    shots = gains(frames.bundle, frames.labels, frames.sources, way, fitted.complete, SEED)
    gain = {shot: row["gain"] > row["gain_ci95"] for shot, row in shots.items()}
    report = {
        "fitted_on": {
            "classes": len(classes),
            "images": int(used.sum()),
            "left_out": len(asked),
            "sources": None if base.sources is None else len(np.unique(base.sources)),
            "folder_sha256": base.content_sha256(),
        },
        "weight": fitted.weight,
        "max_abs_error": error,
        "shots": shots,
        "gain": gain,
    }
    return _Generated(model, fitted.record(tuple(int(shot) for shot, gains_here in gain.items() if gains_here)), report)


def _frames_at(source: Source, data: LabelledFolder | None, numbers: npt.NDArray[np.int64]) -> list[RawFrame]:
    """The raw frames with these numbers, of those to prove on."""
    if data is not None:
        return [source.input.load(data.root / data.files[number]).values for number in numbers]
    assert source.held_out is not None  # noqa: S101  # `_embedded` has refused a source without frames
    return list(source.held_out.raw(source.input)[numbers])


def _embedded(
    source: Source, data: LabelledFolder | None, embedders: list[Embed]
) -> tuple[list[head.Embeddings], npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
    """What each embedder makes of the frames to prove on; their labels and sources."""
    if data is not None:
        data.check_kind(source.input)
        return embed_folder(data, embedders, load=source.input.load)[0], data.labels, data.sources
    held_out = source.held_out
    if held_out is None:
        raise DataError(
            "This source carries no frames of classes that its training never saw, to prove the bundle and to "
            "calibrate it on. Give a labelled folder of such classes with --data."
        )
    raw = held_out.raw(source.input)
    chunks = [list(raw[i : i + BATCH]) for i in range(0, len(raw), BATCH)]
    parts = [np.concatenate([embed(chunk) for chunk in chunks]) for embed in embedders]
    return parts, held_out.labels, held_out.sources


def _sampler(frames: ProofFrames) -> EpisodeSampler:
    """Episodes of as many classes as there are, up to `MAX_WAY`."""
    needed = max(EPISODES, 2 * SCALE_EPISODES)
    for way in range(min(MAX_WAY, int(frames.labels.max()) + 1), 1, -1):
        with contextlib.suppress(DataError):
            return EpisodeSampler(
                frames.labels, sources=frames.sources, way=way, shot=1, query=1, seed=SEED, checked=needed
            )
    raise ExportError(
        "The classes to prove the bundle on allow no episode at all: at least 2 classes with 2 images (of different "
        "sources) are needed. Give more classes with --data."
    )


def _lineage(source: Source, command: Sequence[str]) -> Mapping[str, Any]:
    return {
        **({"command": list(command)} if command else {}),
        **source.lineage,
        "versions": {package: metadata.version(package) for package in LINEAGE_PACKAGES},
        "seed": SEED,
    }


def _golden_file(frames: list[RawFrame], embeddings: head.Embeddings) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {f"frame_{i}": frame for i, frame in enumerate(frames)}
    np.savez(file, embeddings=embeddings, **arrays)
    return file.getvalue()


def _as_files(
    models: Mapping[str, bytes],
    kept: Sequence[Variant],
    manifest: Manifest,
    report: Mapping[str, Any],
    golden: bytes,
    others: Mapping[str, bytes],
) -> dict[str, bytes]:
    names = {c: [VARIANT, *(v.name for v in kept if c == "embed")] for c in models}
    files = {f"{c}/{VARIANT}/model.onnx": model for c, model in models.items()}
    files |= {f"embed/{v.name}/model.onnx": v.model for v in kept}
    files |= {f"{c}/component.json": _json({"variants": {n: _executor(n) for n in names[c]}}) for c in models}
    files[MANIFEST_FILE] = _json(manifest.to_dict(tuple(models)))
    files[REPORT_FILE] = _json(report)
    files[CARD_FILE] = model_card(manifest, report).encode()
    files[GOLDEN_FILE] = golden
    files |= others
    return files | {SUMS_FILE: sums_text(files)}


def _executor(variant: str) -> dict[str, Any]:
    """What runs a variant, in ONNX Runtime's Model Package layout."""
    on_gpu = variant == "fp16"
    return {
        "ep": "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider",
        "device": "gpu" if on_gpu else "cpu",
        "executor_info": {"ort": {"model_file": "model.onnx"}},
    }


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_as_device(path: Path) -> None:
    """Open it exactly as a device will."""
    bundle = Bundle.open_unsigned(path)
    sessions = {component: OrtSession(bundle.model(component)) for component in bundle.components()}
    for component, session in sessions.items():
        check_structure(component, session, bundle.manifest)
    for variant in bundle.variants():
        check_golden(bundle.for_variant(variant), OrtSession(bundle.model("embed", variant)))
    check_head(sessions["enroll"], sessions["classify"], bundle.golden()[1], bundle.manifest.scale)
    assert bundle.manifest.refinement is not None  # noqa: S101
    check_refine(sessions[REFINE], bundle.golden()[1], bundle.manifest.refinement)


def _move(part: Path, out: Path) -> None:
    """Rename into place; a bundle that is there is kept until the new one is."""
    if not out.exists():
        part.rename(out)
        return
    old = part.with_name(part.name + ".old")
    out.rename(old)
    try:
        part.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)
