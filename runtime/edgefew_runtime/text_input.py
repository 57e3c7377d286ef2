"""What an embed graph of texts takes: the numbers that the bundle's own tokenizer makes of a sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .bundle import TOKENIZER_FILE
from .errors import BundleFormatError, FrameError, RuntimeMissingError
from .frames import TEXT_SUFFIXES, Frame, FrameLike, RawFrame, read_file
from .input_spec import InputSpec
from .regular_file import shown
from .text_quality import TextQuality, text_quality

PADDING = -1
"""What stands behind a sentence in a batch where another is longer; the graph leaves it out."""

MAX_CHARACTERS = 2000
"""A longer text is refused: what is compared are sentences."""

MAX_TOKENS = 4096

_NAME = 40


@dataclass(frozen=True, kw_only=True)
class TextInput(InputSpec):
    """A sentence: int64 [tokens], any number of them, as the bundle's tokenizer numbers them.

    In Python a `str` is the sentence itself, and a `Path` a file in UTF-8 that holds one.

    Attributes:
        vocabulary: how many different tokens there are.
        unknown: the token that stands for what the tokenizer does not know.
        tokenizer_file: reads the tokenizer's file; `bound` gives it.
    """

    vocabulary: int
    unknown: int
    tokenizer_file: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)

    noun = "text"
    variety = "wordings, speakers and languages"
    suffixes = TEXT_SUFFIXES

    def __post_init__(self) -> None:
        if (self.dtype, self.layout, self.channels) != ("int64", "NT", 1) or self.mean or self.std:
            raise ValueError(f"a text of {self.dtype!r} in {self.layout!r}")
        numbers = (*self.size, self.vocabulary, self.unknown)
        if len(self.size) != 1 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            raise ValueError(f"a text of the size {self.size} with {self.vocabulary!r} tokens")
        if not (
            1 < self.size[0] <= MAX_TOKENS and 1 < self.vocabulary < 1 << 31 and 0 <= self.unknown < self.vocabulary
        ):
            raise ValueError(f"a text of {self.size[0]} of {self.vocabulary} tokens, {self.unknown} for the unknown")
        if self.tokenizer_file is not None and not callable(self.tokenizer_file):
            raise ValueError("a tokenizer in the manifest; it stands in a file")

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Tokens of a usual sentence."""
        return self.size

    @property
    def larger_shape(self) -> tuple[int, ...]:
        """Tokens of a long one."""
        return (4 * self.size[0],)

    def takes(self, values: RawFrame) -> bool:
        """Whether an array is one of tokens."""
        return values.dtype == np.int64 and values.ndim == 1

    def bound(self, read: Callable[[str], bytes]) -> TextInput:
        """The same with the tokenizer in the bundle's file, which is read when the first text comes."""
        return replace(self, tokenizer_file=functools.partial(read, TOKENIZER_FILE))

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it: without the tokenizer."""
        told = dict(vars(replace(self, tokenizer_file=None)))
        del told["tokenizer_file"]
        return told

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, of the library `tokenizers`.

        Raises:
            BundleFormatError: the bundle has none, or one that cannot be read.
            RuntimeMissingError: the library is not installed.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise RuntimeMissingError(
                'Reading texts needs tokenizers. Install it: pip install "edgefew-runtime[text]", or give frames as '
                "arrays of tokens."
            ) from None
        try:
            if self.tokenizer_file is None:
                raise ValueError("it belongs to no bundle")
            tokenizer = Tokenizer.from_str(self.tokenizer_file().decode())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        except Exception as error:  # the library raises bare Exceptions
            raise BundleFormatError(
                f"The bundle's {TOKENIZER_FILE} cannot be read ({error}). Export the bundle again."
            ) from None
        if tokenizer.get_vocab_size() > self.vocabulary:
            raise BundleFormatError(
                f"The bundle's tokenizer has {tokenizer.get_vocab_size()} tokens, its network {self.vocabulary}. "
                "Export the bundle again."
            )
        return tokenizer

    def load(self, frame: FrameLike) -> Frame:
        """The text as tokens."""
        if isinstance(frame, Frame):
            return self.load(frame.values) if frame.encoded is None else self.load_file(frame.encoded, frame.name)
        if isinstance(frame, str):
            return self._tokens(frame, _named(frame))
        if isinstance(frame, Path):
            return self.load_file(read_file(frame), shown(frame))
        if isinstance(frame, (bytes, bytearray, memoryview)):
            return self.load_file(bytes(frame), "bytes")
        if isinstance(frame, np.ndarray):
            if not self.takes(frame) or not len(frame) or frame.min() < PADDING or frame.max() >= self.vocabulary:
                raise FrameError(
                    f"An array {frame.dtype} {list(frame.shape)} was given; int64 [tokens] from 0 to "
                    f"{self.vocabulary - 1} was expected ({PADDING} for padding). Or give the text itself."
                )
            return Frame(frame, "array")
        raise FrameError(
            f"A frame of type {type(frame).__name__} was given. This bundle takes texts: give a str, the Path of a "
            "text file, its bytes, or an array of tokens."
        )

    def load_file(self, data: bytes, name: str) -> Frame:
        """The text in a file's bytes."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FrameError(f"{name} is no text in UTF-8 (byte {error.start}). Save it as UTF-8.") from None
        return self._tokens(text, name)

    def _tokens(self, text: str, name: str) -> Frame:
        text = " ".join(text.split())
        if not text:
            raise FrameError(f"{name or 'The text'} is empty; a sentence was expected.")
        if len(text) > MAX_CHARACTERS:
            raise FrameError(
                f"{name} has {len(text):,} characters; {MAX_CHARACTERS:,} are the most. Give a sentence, not a page."
            )
        tokens = np.array(self.tokenizer.encode(text.encode(errors="replace").decode()).ids[:MAX_TOKENS], np.int64)
        return Frame(tokens, name, text.encode(errors="replace"))

    def quality(self, values: RawFrame) -> TextQuality:
        """Length, and how much of it the tokenizer knows."""
        return text_quality([self.tokenizer.id_to_token(token) for token in values if token >= 0], values, self.unknown)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> RawFrame:
        """Random tokens."""
        return rng.integers(0, self.vocabulary, shape)


def _named(text: str) -> str:
    short = " ".join(text.split())[: _NAME + 1]
    return short if len(short) <= _NAME else short[: _NAME - 1] + "…"
