"""Texts made here: sentences of invented words, and an encoder with a tokenizer for them, small and untrained."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np

VOWELS, CONSONANTS = "aeiou", "bdgklmnprst"
SYLLABLES = ["".join(parts) for parts in itertools.product(CONSONANTS, VOWELS, "nrs")]
WIDTH, EMBEDDED, VECTOR = 8, 24, 32
CHUNKS = 3


def make_text(kind: int, take: int) -> str:
    """Three words that are the class's own and one of the take's, in the take's order."""
    words = ["".join(np.random.default_rng([31, kind, i]).choice(SYLLABLES, 3)) for i in range(3)]
    rng = np.random.default_rng([37, kind, take])
    return " ".join(rng.permutation([*words, "".join(rng.choice(SYLLABLES, 2))]))


def make_folder(root: Path, kinds: range, takes: int = 3) -> Path:
    """A class folder for each kind, a text a file."""
    for kind in kinds:
        folder = root / f"saying{kind:03}"
        folder.mkdir(parents=True)
        for take in range(takes):
            (folder / f"take{take}.txt").write_text(make_text(kind, take))
    return root


def sentencepiece_model() -> bytes:
    """A unigram model of the syllables and letters, as SentencePiece writes it."""
    marks = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces = [("▁", -4.0, 1), *((s, -3.0, 1) for s in SYLLABLES), *((f"▁{s}", -3.0, 1) for s in SYLLABLES)]
    letters = [(letter, -9.0, 1) for letter in VOWELS + CONSONANTS]
    return b"".join(_field(1, _piece(*each)) for each in (*marks, *pieces, *letters))


def tensors() -> dict[str, np.ndarray]:
    """Of the encoder, random, with as many rows as the model has pieces."""
    rng = np.random.default_rng(0)
    rows = 3 + 1 + 2 * len(SYLLABLES) + len(VOWELS + CONSONANTS)
    all_of = EMBEDDED + 3 * WIDTH
    shapes = {"project": (EMBEDDED, 3 * WIDTH), "project_bias": (3 * WIDTH,), "pool": (all_of, VECTOR)}
    shapes |= {"pool_bias": (VECTOR,), "dense_0": (VECTOR, 16), "dense_1": (16, 16), "skip_1": (VECTOR, 16)}
    shapes |= {"dense_2": (16, VECTOR), "skip_3": (16, VECTOR), "dense_3": (VECTOR, VECTOR)}
    for order in (2, 3, 5):
        for step in ("first", "second"):
            shapes |= {f"{step}_{order}": (order * WIDTH, WIDTH), f"{step}_{order}_bias": (WIDTH,)}
    made = {name: rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, width in (("norm", 3 * WIDTH), ("features", all_of)):
        made |= {name: np.ones(width, np.float32), f"{name}_bias": np.zeros(width, np.float32)}
    made["table"] = rng.integers(0, 256, (rows, EMBEDDED)).astype(np.uint8)
    made["scale"] = np.linspace(0.01, 0.02, CHUNKS, dtype=np.float32)
    made["low"] = -128 * made["scale"]
    return made


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content
