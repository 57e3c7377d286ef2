"""Recordings that lie about themselves."""

from __future__ import annotations

import io

import numpy as np
import pytest
from edgefew_runtime import FrameError
from edgefew_runtime.sounds import load_sound

from tests.sounds import RATE, make_sound

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")

TUNE = make_sound(1, 1, 0)


def written(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TUNE, RATE, format=kind, subtype="PCM_16")
    return file.getvalue()


def test_a_header_that_claims_hours_is_refused_before_anything_is_decoded() -> None:
    lying = bytearray(written("FLAC"))
    at = 8 + 13  # the 36 bits of the number of samples, in STREAMINFO
    lying[at : at + 5] = bytes([lying[at] | 0x0F]) + b"\xff\xff\xff\xff"
    with pytest.raises(FrameError, match="are the most"):
        load_sound(bytes(lying), RATE)


def test_any_changed_byte_gives_a_recording_or_a_frame_error() -> None:
    rng = np.random.default_rng(0)
    for good in (written("WAV"), written("FLAC")):
        for at in [*range(44), *rng.integers(44, len(good), 100)]:
            bad = bytearray(good)
            bad[at] ^= int(rng.integers(1, 256))
            try:
                assert np.isfinite(load_sound(bytes(bad), 16_000).values).all()
            except FrameError as error:
                assert str(error).startswith("bytes ")
