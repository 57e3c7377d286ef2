"""Clips for Chromium's fake camera, made here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def write_clip(path: Path, pictures: Sequence[Image.Image], frames_a_second: int = 5) -> Path:
    """A YUV4MPEG2 clip, 640 x 480, of pictures in the middle of a white frame; the fake camera repeats it.

    Args:
        path: where it goes; it ends in .y4m.
        pictures: one a frame.
        frames_a_second: of the clip.
    """
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W640 H480 F{frames_a_second}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in pictures:
            frame = Image.new("RGB", (640, 480), "white")
            frame.paste(picture.convert("RGB").resize((480, 480)), (80, 0))
            luma, *chroma = frame.convert("YCbCr").split()
            file.write(b"FRAME\n" + luma.tobytes() + b"".join(c.resize((320, 240)).tobytes() for c in chroma))
    return path
