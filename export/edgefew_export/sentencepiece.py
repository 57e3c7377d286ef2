"""A unigram model of SentencePiece as a tokenizer of the library `tokenizers`, in one JSON file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from edgefew_runtime import SourceError

_BEGIN, _END = "<s>", "</s>"
_SPACE = "▁"


def tokenizer_file(model: bytes) -> bytes:
    """The bytes of tokenizer.json: as the model, with marks for beginning and end.

    Args:
        model: a SentencePiece model file (sentencepiece_model.proto).

    Raises:
        SourceError: it is none, or is no unigram model.
    """
    try:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    except ImportError:
        raise SourceError("A tokenizer is made with tokenizers: pip install 'edgefew-runtime[text]'.") from None
    try:
        pieces, charsmap = _parsed(model)
        names = [name for name, _, _ in pieces]
        begin, end = names.index(_BEGIN), names.index(_END)
    except (ValueError, IndexError, struct.error, KeyError) as error:
        raise SourceError(f"This is no SentencePiece model with {_BEGIN} and {_END} ({error}).") from None
    unknown = next((i for i, (_, _, kind) in enumerate(pieces) if kind == 2), 0)
    tokenizer = Tokenizer(models.Unigram([(name, score) for name, score, _ in pieces], unk_id=unknown))
    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme="always", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_BEGIN} $A {_END}", special_tokens=[(_BEGIN, begin), (_END, end)]
    )
    # Written anew: the same model gives the same bytes, whatever the library's version writes first.
    return json.dumps(
        json.loads(tokenizer.to_str()), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode()


def _parsed(model: bytes) -> tuple[list[tuple[str, float, int]], bytes]:
    """Each piece with its score and kind, and the map of characters that normalises."""
    pieces, charsmap = [], b""
    for number, value in _fields(model):
        if number == 1 and isinstance(value, bytes):
            piece: dict[int, Any] = dict(_fields(value))
            (score,) = struct.unpack("<f", piece[2])
            pieces.append((piece[1].decode(), score, piece.get(3, 1)))
        elif number == 3 and isinstance(value, bytes):
            charsmap = next((v for n, v in _fields(value) if n == 2 and isinstance(v, bytes)), b"")
    if not pieces:
        raise ValueError("it has no pieces")
    return pieces, charsmap


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: numbers as int, all else as bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, place = _varint(message, place)
        if size is None or place + size > len(message):
            raise ValueError("its fields do not fit")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
