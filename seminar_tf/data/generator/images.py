"""Small rendered item pictures: a shape by style, in colours by category and subtopic, as PNG bytes."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_GOLDEN = 0.6180339887498949
_SHAPES = 8


def render(
    category: np.ndarray, subtopic: np.ndarray, style: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws pictures.

    The background's colour tells the category, the figure's colour the subtopic, the figure's shape (and beyond eight
    styles a striped ground) the style; place, extent and brightness vary from item to item.

    Args:
      category, subtopic, style: (n,) int.
      size: S, height and width in pixels.
      rng: draws the variation.

    Returns:
      (n, S, S, 3) uint8 RGB.
    """
    n = len(category)
    place = 0.5 + 0.16 * (rng.random((n, 2), np.float32) - 0.5)
    radius = 0.22 + 0.12 * rng.random(n, np.float32)
    brightness = 0.85 + 0.3 * rng.random(n, np.float32)
    grid = ((np.arange(size) + 0.5) / size).astype(np.float32)
    x, y = np.broadcast_arrays(
        (grid[None, None, :] - place[:, 0, None, None]) / radius[:, None, None],
        (grid[None, :, None] - place[:, 1, None, None]) / radius[:, None, None],
    )
    inside = _inside(x, y, style % _SHAPES)
    background = _colour(category, 0.0, 0.55, 0.75)
    figure = _colour(subtopic * 7 + category, 0.37, 0.9, 0.95)
    stripes = ((np.arange(size) // 3 % 2)[None, :, None] * (style // _SHAPES % 2)[:, None, None]).astype(np.float32)
    ground = background[:, None, None, :] * (1.0 - 0.35 * stripes[..., None])
    picture = np.where(inside[..., None], figure[:, None, None, :], ground) * brightness[:, None, None, None]
    # Grain in coarse tiles: it varies pictures as pixel noise would, and still compresses.
    tiles = (
        rng.random((n, size // 4 + 1, size // 4 + 1), np.float32).repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]
    )
    return (np.clip(picture * (0.9 + 0.2 * tiles[..., None]), 0.0, 1.0) * 255).astype(np.uint8)


def encode_png(picture: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 picture as a PNG file. Ours, because bytes must not hang on an imaging library's version."""
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row starts with filter type 0
    rows[:, 1:] = picture.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _inside(x: np.ndarray, y: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(n, S, S) bool: which pixels lie in the figure; x and y are in radii from its centre."""
    ax, ay = np.abs(x), np.abs(y)
    r = np.hypot(x, y)
    figures = (
        r < 1,  # disc
        np.maximum(ax, ay) < 0.9,  # square
        (y < 0.8) & (y > 2 * ax - 1),  # triangle
        ax + ay < 1.2,  # diamond
        (r < 1.1) & (r > 0.6),  # ring
        (np.minimum(ax, ay) < 0.3) & (np.maximum(ax, ay) < 1.1),  # cross
        (ay < 1) & (np.floor(y * 2.5) % 2 == 0) & (ax < 1),  # bars
        (np.maximum(ax, ay) < 1) & ((np.floor(x * 2) + np.floor(y * 2)) % 2 == 0),  # checks
    )
    return np.choose(shape[:, None, None], figures)


def _colour(number: np.ndarray, offset: float, saturation: float, value: float) -> np.ndarray:
    """(n, 3) float32 RGB in [0, 1]: hues by the golden ratio, so that neighbours in number differ most."""
    hue = (offset + number * _GOLDEN) % 1.0
    # From 24 colours on hues are used up: darker and paler rounds follow.
    rounds = number // 24 % 3
    value_of = value * (1.0 - 0.25 * rounds)
    saturation_of = saturation * (1.0 - 0.2 * rounds)
    wheel = np.abs((hue[:, None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    colour = value_of[:, None] * (1 - saturation_of[:, None] * (1 - np.clip(wheel, 0.0, 1.0)))
    return colour.astype(np.float32)
