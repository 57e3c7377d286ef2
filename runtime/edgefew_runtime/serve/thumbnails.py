"""Small pictures of kept frames."""

from __future__ import annotations

import io

import numpy as np

from ..gallery import Gallery, unpack_frame

SIDE = 160
"""Pixels of the longer side."""


def thumbnail(gallery: Gallery, example: int) -> bytes | None:
    """The frame of an example as a small JPEG; None if it was not kept, or is no picture.

    Raises:
        UnknownClassError: there is no such example.
    """
    found = gallery.example(example)
    content = gallery.frame(found.source_sha256)
    if content is None:
        return None
    values = unpack_frame(content, found.source).values
    if values.dtype != np.uint8:
        return None
    from PIL import Image

    image = Image.fromarray(values)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
