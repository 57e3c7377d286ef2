"""Every device command on a bundle of texts: the same way as pictures go."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Bundle, BundleFormatError, Classifier, FrameError, Gallery, migrate
from edgefew_runtime.bundle import SUMS_FILE, TOKENIZER_FILE, sums_text
from edgefew_runtime.text_input import MAX_CHARACTERS, TextInput

from tests.conftest import Cli
from tests.texts import make_folder, make_text

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra text)")


def test_texts_are_enrolled_and_recognised_from_files_and_from_the_command_line(
    cli: Cli, text_bundle: Path, gallery_path: Path, tmp_path: Path
) -> None:
    files = sorted((make_folder(tmp_path / "texts", range(50, 51)) / "saying050").iterdir())
    result = cli("enroll", text_bundle, "fifty", *files, "--gallery", gallery_path, "--json")
    assert json.loads(result.stdout)["examples"] == 3
    given = [word for take in range(3) for word in ("--text", make_text(51, take))]
    result = cli("enroll", text_bundle, "fifty-one", *given, "--gallery", gallery_path, "--json")
    assert json.loads(result.stdout)["accepted"][0].startswith(make_text(51, 0)[:30])
    asked = [word for kind in (50, 51, 57) for word in ("--text", make_text(kind, 7))]
    result = cli("classify", text_bundle, *asked, "--gallery", gallery_path, "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [a["label"] for a in answers[:2]] == ["fifty", "fifty-one"]
    assert min(answers[0]["score"], answers[1]["score"]) > answers[2]["score"]
    assert (answers[2]["known"], answers[2]["file"]) == (False, make_text(57, 7))
    assert cli("reject", text_bundle, "fifty", "--text", make_text(57, 7), "--gallery", gallery_path).exit_code == 0


def test_text_is_for_texts_and_something_must_be_given(
    cli: Cli, bundle: Path, text_bundle: Path, gallery_path: Path
) -> None:
    result = cli("enroll", bundle, "x", "--text", "hello", "--gallery", gallery_path)
    assert (result.exit_code, "this bundle takes pictures" in result.stderr) == (2, True)
    result = cli("enroll", text_bundle, "x", "--gallery", gallery_path)
    assert (result.exit_code, "Or give a --text." in result.stderr) == (2, True)
    assert not gallery_path.exists()


def test_the_doctor_speaks_of_texts(text_bundle: Path) -> None:
    with Classifier.open(text_bundle) as classifier:
        texts = [make_text(50, 0), make_text(50, 1), make_text(50, 0) + " ", "ban", "ξένη γλώσσα εδώ"]
        found = classifier.enroll("fifty", texts, dry_run=True).diagnosis.examples
    kinds = {report.name: [finding.kind for finding in report.findings] for report in found}
    assert len(found) == 4, "the same text twice is one example"
    assert not {"too short", "unknown language"} & set(kinds[make_text(50, 0)])
    assert "too short" in kinds["ban"]
    assert "unknown language" in kinds["ξένη γλώσσα εδώ"]


def test_a_token_that_the_tokenizer_has_no_piece_for_is_unknown(text_bundle: Path) -> None:
    spec = Bundle.open(text_bundle).manifest.input
    assert isinstance(spec, TextInput)
    wider = replace(spec, vocabulary=spec.vocabulary + 3)
    tokens = wider.load(make_text(50, 0)).values
    assert wider.quality(tokens).unknown == 0
    nameless = np.full(len(tokens), spec.vocabulary + 2)
    assert wider.quality(nameless).blank
    assert 0.4 < wider.quality(np.concatenate([tokens, nameless])).unknown < 0.6


def test_kept_texts_go_to_a_new_bundle(text_bundle: Path, tmp_path: Path) -> None:
    texts = [make_text(50, take) for take in range(3)]
    old = tmp_path / "old.gallery"
    with Classifier.open(text_bundle, old) as classifier:
        classifier.enroll("fifty", texts, keep_frames=True)
        before = classifier.gallery.state().sums
    other = shutil.copytree(text_bundle, tmp_path / "other.edgefew")
    rewrite(other, {"model-card.md": b"another\n"})
    with Gallery(old, Bundle.open(text_bundle).id) as gallery:
        migrate(gallery, Classifier.open(other), tmp_path / "new.gallery")
    with Classifier.open(other, tmp_path / "new.gallery") as classifier:
        assert np.array_equal(classifier.gallery.state().sums, before)
        assert classifier.classify(texts[0]).label == "fifty"


def rewrite(bundle: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (bundle / name).write_bytes(content)
    held = {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    held.pop(SUMS_FILE)
    (bundle / SUMS_FILE).write_bytes(sums_text(held))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "WordLevel", "vocab": {}}}'])
def test_a_tokenizer_that_is_none_is_told_of(text_bundle: Path, tmp_path: Path, content: bytes) -> None:
    bundle = shutil.copytree(text_bundle, tmp_path / "bad.edgefew")
    rewrite(bundle, {TOKENIZER_FILE: content})
    with pytest.raises(BundleFormatError, match="tokenizer"):
        Classifier.open(bundle).classify("ba be bi")
    (bundle / TOKENIZER_FILE).unlink()
    rewrite(bundle, {})
    with pytest.raises(BundleFormatError, match="tokenizer"):
        Classifier.open(bundle).classify("ba be bi")


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        (b"\xff\xfe", "no text in UTF-8"),
        ("a" * (MAX_CHARACTERS + 1), "are the most"),
        (np.zeros(3, np.float32), "int64"),
        (np.zeros((1, 3), np.int64), "int64"),
        (np.array([1, 10**6]), "was expected"),
        (np.array([-2]), "was expected"),
        (np.array([], np.int64), "was expected"),
        (np.array([-1, -1]), "no usable embedding"),
        (7, "of type int"),
    ],
)
def test_what_is_no_text_is_told(text_bundle: Path, frame: object, says: str) -> None:
    with Classifier.open(text_bundle) as classifier, pytest.raises(FrameError, match=says):
        classifier.enroll("x", [frame])  # type: ignore[list-item]


def test_signs_of_every_kind_give_an_answer(text_bundle: Path) -> None:
    odd = [
        "\x00",
        "\ud800 lone",
        "\u202eright to left",
        "e\u0301" * 900,
        "👩‍👩‍👧",
        "\ufffe",
        "ba" * 900,
        "<s> </s> <unk>",
    ]
    with Classifier.open(text_bundle) as classifier:
        classifier.enroll("fifty", [make_text(50, take) for take in range(3)])
        for text in odd:
            answer = classifier.classify(text)
            assert answer.score is None or -1.01 < answer.score < 1.01


def test_verify_bench_and_evaluate_take_texts(cli: Cli, text_bundle: Path, tmp_path: Path) -> None:
    assert cli("verify", text_bundle).exit_code == 0
    result = cli("bench", text_bundle, "--runs", 3, "--json")
    assert result.exit_code == 0, result.output
    folder = make_folder(tmp_path / "texts", range(50, 60), takes=6)
    result = cli("evaluate", text_bundle, folder, "--way", 5, "--shot", 1, "--episodes", 50, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[0])["accuracy"] > 0.6
