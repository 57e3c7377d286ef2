"""A phrase translator from a few examples: each class is a phrase, and has a text in other languages to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgefew_runtime import Answer, Classifier


@dataclass(frozen=True)
class Translation:
    """What a sentence was taken for.

    Attributes:
        text: what to say; None where the sentence is unknown.
        answer: the classifier's.
        strange_language: whether the sentence seems to be in a language that the encoder does not know.
    """

    text: str | None
    answer: Answer
    strange_language: bool


class Translator:
    """Phrases to translate; sentences of any language that the encoder knows are taken for one of them, or unknown.

    Args:
        classifier: of texts.
        texts: for each phrase, what to say in each language: `texts["what time"]["de"]`.
    """

    def __init__(self, classifier: Classifier, texts: dict[str, dict[str, str]]) -> None:
        self.classifier, self.texts = classifier, texts

    def teach(self, phrase: str, sentences: Sequence[str], texts: dict[str, str] | None = None) -> None:
        """Add wordings of a phrase, in any language, and what to say for it. A new phrase begins to exist."""
        self.classifier.enroll(phrase, list(sentences))
        self.texts[phrase] = self.texts.get(phrase, {}) | (texts or {})

    def translate(self, sentence: str, to: str) -> Translation:
        """What to say in a language for a sentence of another."""
        spec = self.classifier.bundle.manifest.input
        frame = spec.load(sentence)
        answer = self.classifier.classify(frame)
        said = self.texts.get(answer.label or "", {}).get(to) if answer.known else None
        return Translation(said, answer, bool(getattr(spec.quality(frame.values), "foreign", False)))
