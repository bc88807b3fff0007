"""A reliability diagram as pixels, drawn with Pillow: a Trainer needs no plotting library."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seminar_tf.evaluation.calibration import Reliability

WIDTH, HEIGHT = 640, 720
LEFT, RIGHT = 76, 620
TOP, BOTTOM = 64, 500  # the diagram
COUNT_TOP, COUNT_BOTTOM = 536, 650  # rows by prediction
_INK, _GRID, _BLUE, _PALE = (40, 40, 40), (225, 225, 225), (31, 90, 160), (165, 195, 228)


def calibration_plot(found: Reliability, title: str) -> np.ndarray:
    """Draws observed against predicted rates with their 95% intervals, and below how many rows each bin has.

    Both axes go from 0 to the highest point or interval there is, rounded up: clicks are rare, and the corner where all
    points are is what matters. In the lower part a bar is as wide as its bin, as far as the axis goes.

    Args:
      found: of at least one row.
      title: first line of text; the figures follow below it.

    Returns:
      (HEIGHT, WIDTH, 3) uint8 RGB.

    Raises:
      ValueError: there is no row.
    """
    if not found.rows:
        raise ValueError(f"calibration_plot: there is no row to draw for {title}.")
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    low, high = found.interval()
    ticks = axis_ticks(max(found.predicted.max(), high.max()))
    _axes(draw, ticks)
    _text(draw, (LEFT, 12), title, 18)
    figures = (
        f"{found.rows:,} rows   mean predicted {found.mean_predicted:.4f}, observed {found.mean_observed:.4f}   "
        f"expected calibration error {found.expected_error:.4f}"
    )
    _text(draw, (LEFT, 38), figures, 12)
    _counts(draw, found, ticks)
    places = np.stack([found.predicted, found.observed, low, high], axis=1)
    for x, y, bottom, top in (places / ticks[-1]).tolist():
        column, row = x_pixel(x), y_pixel(y)
        ends = [y_pixel(bottom), y_pixel(top)]
        draw.line([(column, ends[0]), (column, ends[1])], fill=_BLUE, width=2)
        for end in ends:
            draw.line([(column - 3, end), (column + 3, end)], fill=_BLUE, width=2)
        draw.ellipse([column - 4, row - 4, column + 4, row + 4], fill=_BLUE)
    return np.asarray(image)


def axis_ticks(highest: float) -> np.ndarray:
    """Ticks from 0 to at least `highest`, at most 1: steps of 1, 2 or 5 times a power of ten, four to ten of them."""
    rough = max(highest, 1e-6) / 8
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    return step * np.arange(math.ceil(round(highest / step, 9)) + 1)


def x_pixel(share: float) -> int:
    """Column of a share of the x axis."""
    return round(LEFT + share * (RIGHT - LEFT))


def y_pixel(share: float) -> int:
    """Row of a share of the diagram's y axis."""
    return round(BOTTOM - share * (BOTTOM - TOP))


def _axes(draw: ImageDraw.ImageDraw, ticks: np.ndarray) -> None:
    digits = max(0, -math.floor(math.log10(ticks[1]) + 1e-9))
    for tick in ticks.tolist():
        column, row = x_pixel(tick / ticks[-1]), y_pixel(tick / ticks[-1])
        draw.line([(LEFT, row), (RIGHT, row)], fill=_GRID)
        for top, bottom in ((TOP, BOTTOM), (COUNT_TOP, COUNT_BOTTOM)):
            draw.line([(column, top), (column, bottom)], fill=_GRID)
        _text(draw, (LEFT - 8, row), f"{tick:.{digits}f}", 12, "rm")
        _text(draw, (column, BOTTOM + 8), f"{tick:.{digits}f}", 12, "mt")
        _text(draw, (column, COUNT_BOTTOM + 8), f"{tick:.{digits}f}", 12, "mt")
    draw.line([(LEFT, BOTTOM), (RIGHT, TOP)], fill=_INK, width=1)
    for top, bottom in ((TOP, BOTTOM), (COUNT_TOP, COUNT_BOTTOM)):
        draw.line([(LEFT, top), (LEFT, bottom), (RIGHT, bottom)], fill=_INK, width=1)
    _text(draw, ((LEFT + RIGHT) // 2, COUNT_BOTTOM + 34), "predicted probability", 14, "mt")
    _upright(draw, (8, (TOP + BOTTOM) // 2), "observed rate, 95% interval", 14)
    _upright(draw, (8, (COUNT_TOP + COUNT_BOTTOM) // 2), "rows", 14)


def _counts(draw: ImageDraw.ImageDraw, found: Reliability, ticks: np.ndarray) -> None:
    most = int(found.count.max())
    for count, low, high in zip(found.count.tolist(), found.low / ticks[-1], found.high / ticks[-1]):
        top = round(COUNT_BOTTOM - count / most * (COUNT_BOTTOM - COUNT_TOP))
        left = x_pixel(low)
        right = max(x_pixel(min(high, 1.0)), left + 1)
        draw.rectangle([left, top, right, COUNT_BOTTOM - 1], fill=_PALE, outline=_BLUE)
    _text(draw, (LEFT - 8, COUNT_TOP), f"{most:,}", 12, "rm")
    _text(draw, (LEFT - 8, COUNT_BOTTOM), "0", 12, "rm")


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, anchor: str = "lt") -> None:
    draw.text(place, text, fill=_INK, font=ImageFont.load_default(size), anchor=anchor)


def _upright(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int) -> None:
    """Text that reads upwards, its left edge at x and its middle at y."""
    font = ImageFont.load_default(size)
    width = round(font.getlength(text))
    label = Image.new("L", (width + 2, size + 6), 0)
    ImageDraw.Draw(label).text((1, 1), text, fill=255, font=font)
    turned = label.rotate(90, expand=True)
    draw.bitmap((place[0], place[1] - turned.height // 2), turned, fill=_INK)
