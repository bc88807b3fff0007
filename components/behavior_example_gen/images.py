"""Item images, from bytes or a file, as raw pixels of one size."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image


class BadImage(ValueError):
    """An image that is missing or cannot be decoded; the message says why."""


def decode(data: bytes, size: int) -> bytes:
    """Decodes and resizes an image.

    Args:
      data: a file in any format that Pillow reads.
      size: height and width of the result.

    Returns:
      size * size * 3 bytes: uint8 RGB, row by row.

    Raises:
      BadImage: not an image, cut short, or so large that it looks like a decompression bomb.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(f"not a readable image: {error}") from error
    return small.tobytes()


def read(root: str, path: str) -> bytes:
    """Reads an image file.

    Args:
      root: the dataset's folder.
      path: relative to `root`; may not lead out of it.

    Raises:
      BadImage: outside of `root`, missing or unreadable.
    """
    base = Path(root).resolve()
    file = (base / path).resolve()
    if not file.is_relative_to(base):
        raise BadImage(f"{path} is outside of the dataset")
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadImage(f"{path}: {error.strerror}") from error
