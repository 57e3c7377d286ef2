"""What can be told of a text without the network: too short, or in a language that the tokenizer hardly knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .frames import RawFrame

UNKNOWN = 0.25
"""The share of a text's tokens that may be unknown: a rare name or a picture sign is one."""

PIECE = 2.4
"""Letters that a token has at least, on average, in a language that the tokenizer was made for; see docs/text.md."""

PIECE_OTHERS = 1.7
"""The same of scripts that write fewer letters a word than Latin, Greek and Cyrillic do."""

SHORT = 2
"""Pieces that a text has at least."""

ENOUGH = 8
"""Letters below which nothing is said of the language."""

_WORD = "▁"
_OTHERS, _DENSE = "\u0530", "\u2e80"
"""Where the scripts after Cyrillic begin, and those of whole words or syllables a sign (Chinese, Japanese, Korean)."""


@dataclass(frozen=True)
class TextQuality:
    """Measures of one text.

    Attributes:
        tokens: how many pieces it has, those that mark its beginning and end left out.
        unknown: the share of them that the tokenizer does not know, 0 to 1.
        letters: how many letters a known piece has on average.
        foreign: whether its language seems to be none that the tokenizer was made for.
    """

    tokens: int
    unknown: float
    letters: float
    foreign: bool

    @property
    def blank(self) -> bool:
        """Whether nothing of it is known."""
        return self.tokens == 0 or self.unknown == 1


def text_quality(pieces: Sequence[str | None], values: RawFrame, unknown: int) -> TextQuality:
    """The measures of a text.

    Args:
        pieces: of each token that is no padding, what it stands for; marks are <in angle brackets>. None where the
            network has a row and the tokenizer no piece.
        values: int64 [tokens].
        unknown: the token for what is not known.

    >>> import numpy as np
    >>> text_quality(["<s>", "▁turn", "▁left", "</s>"], np.array([1, 7, 8, 2]), 0)
    TextQuality(tokens=2, unknown=0.0, letters=4.0, foreign=False)
    """
    known = [p.replace(_WORD, "") for p in pieces if p is not None and not (p.startswith("<") and p.endswith(">"))]
    tokens = values[values >= 0].tolist()
    missing = sum(piece is None or token == unknown for piece, token in zip(pieces, tokens, strict=True))
    words = [piece for piece in known if any(sign.isalpha() for sign in piece)]
    alphabetic = [len(piece) for piece in words if max(piece) < _OTHERS]
    others = [len(piece) for piece in words if _OTHERS <= max(piece) < _DENSE]
    count = len(known) + missing
    share = missing / count if count else 0.0
    in_bits = _is_in_bits(alphabetic, PIECE) or _is_in_bits(others, PIECE_OTHERS)
    mean = sum(map(len, words)) / len(words) if words else 0.0
    foreign = share > UNKNOWN or in_bits
    return TextQuality(count, round(share, 3), round(mean, 2), foreign)


def _is_in_bits(lengths: Sequence[int], least: float) -> bool:
    return sum(lengths) >= ENOUGH and sum(lengths) / len(lengths) < least
