"""The language example in its short form: the made encoder, the translator; and its committed figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgefew_runtime import Classifier

from examples.language import language, table
from examples.language.picture import draw
from examples.language.translator import Translator
from tests.texts import make_text

EXAMPLE = Path(language.__file__).parent


def test_the_readme_shows_the_committed_figures_and_a_picture_can_be_drawn(tmp_path: Path) -> None:
    assert (EXAMPLE / "README.md").read_text(encoding="utf-8") == table.filled()
    figures = json.loads((EXAMPLE / "figures.json").read_text(encoding="utf-8"))
    draw(figures, tmp_path / "a.png")
    draw({key: value for key, value in figures.items() if key not in ("intents", "out_of_scope")}, tmp_path / "b.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("a.png", "b.png"))


def test_every_phrase_has_sentences_in_every_language_and_none_twice() -> None:
    phrases, languages = language.PHRASES["phrases"], language.PHRASES["languages"]
    everything = [t for p in phrases.values() for texts in p.values() for t in texts]
    everything += [t for texts in language.PHRASES["none of these"].values() for t in texts]
    assert len(everything) == len(set(everything))
    for sentences in phrases.values():
        assert {"en" if name == "enroll" else name for name in sentences} == set(languages)
        assert [len(texts) for texts in sentences.values()] == [3] + [2] * (len(languages) - 1)
    assert set(language.PHRASES["none of these"]) == set(languages)


def test_the_translator_says_what_was_taught_and_learns_on_the_device(text_bundle: Path) -> None:
    with Classifier.open(text_bundle, false_accept_rate=None) as classifier:
        translator = Translator(classifier, {"fifty": {"de": "fünfzig"}})
        translator.teach("fifty", [make_text(50, take) for take in range(3)])
        translator.teach("fifty-one", [make_text(51, take) for take in range(3)], {"de": "einundfünfzig"})
        said = [translator.translate(make_text(kind, 9), "de").text for kind in (50, 51)]
        assert said == ["fünfzig", "einundfünfzig"]
        assert translator.translate(make_text(50, 9), "fr").text is None
    with Classifier.open(text_bundle, false_accept_rate=0.05) as classifier:
        strict = Translator(classifier, {})
        strict.teach("fifty", [make_text(50, take) for take in range(3)], {"de": "fünfzig"})
        answered = strict.translate("ξένη γλώσσα που δεν ξέρει", "de")
        assert (answered.text, answered.strange_language) == (None, True)


def test_intervals_are_those_of_wilson() -> None:
    found = language.wilson([True] * 8 + [False] * 2)
    assert (found["mean"], found["low"], found["high"]) == (0.8, 0.4902, 0.9433)
    assert language.pooled([found, language.wilson([False] * 10)])["mean"] == 0.4


def test_without_intents_they_are_left_out(tmp_path: Path) -> None:
    assert language.read_intents(tmp_path / "none") is None
    with pytest.raises(json.JSONDecodeError):
        (tmp_path / "clinc150_full.json").write_text("{")
        language.read_intents(tmp_path)
