"""Which way of scoring is fastest, by N, L and device: read from a table of measurements, not guessed.

The table is `measured.json` beside this file; `python -m benchmarks.retrieval --measured` writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

FILE = Path(__file__).with_name("measured.json")


class UnmeasuredError(ValueError):
    """A device or method that the table has no times of; the message says which it has."""


@dataclass(frozen=True)
class Measured:
    """Times of search methods on one kind of device.

    Attributes:
      device: CPU or GPU.
      targets: N of each column, ascending. lengths: L of each row, ascending.
      seconds: method -> (lengths, targets) seconds to index one history and find the K pairs of all its targets; inf
        where a method was not measured.
    """

    device: str
    targets: tuple[int, ...]
    lengths: tuple[int, ...]
    seconds: dict[str, np.ndarray]

    @classmethod
    def load(cls, device: str = "CPU", path: Path = FILE) -> Measured:
        """Reads the table of a device.

        Raises:
          UnmeasuredError: nothing was measured on such a device.
        """
        every = json.loads(path.read_text(encoding="utf-8"))["devices"]
        if device not in every:
            raise UnmeasuredError(
                f"device {device}: {path.name} has times of {', '.join(every)}. Measure there with "
                "`python -m benchmarks.retrieval --measured`, or name a method instead of auto."
            )
        table = every[device]
        times = {name: _or_inf(rows) for name, rows in table["seconds"].items()}
        return cls(device, tuple(table["targets"]), tuple(table["lengths"]), times)

    def fastest(self, methods: Sequence[str]) -> np.ndarray:
        """(lengths, targets) indices into `methods`, the fastest at each measured L and N.

        Raises:
          UnmeasuredError: one of them was never measured, or none of them at some size.
        """
        missing = [name for name in methods if name not in self.seconds]
        if missing:
            raise UnmeasuredError(f"{', '.join(missing)}: {self.device} has times of {', '.join(self.seconds)}.")
        times = np.stack([self.seconds[name] for name in methods])
        if np.isinf(times).all(axis=0).any():
            raise UnmeasuredError(f"{', '.join(methods)}: on {self.device} none was measured at some L and N.")
        return times.argmin(axis=0)

    def choose(self, targets: int, length: int, methods: Sequence[str]) -> str:
        """The method that was fastest at the measured N and L nearest to those asked for, by their ratios."""
        return methods[self.fastest(methods)[_nearest(length, self.lengths), _nearest(targets, self.targets)]]

    def describe(self, methods: Sequence[str]) -> str:
        """What is chosen where, in a line."""
        best = self.fastest(methods)
        cells = [
            f"L {length:,}, N {count}: {methods[best[row, column]]}"
            for row, length in enumerate(self.lengths)
            for column, count in enumerate(self.targets)
        ]
        return f"{self.device}: " + "; ".join(cells)


@dataclass(frozen=True)
class Choice:
    """Whether one of two ways is the faster one, for sizes known while tracing or only in the graph.

    Attributes:
      table: measurements.
      yes, no: methods. True is `yes`.
    """

    table: Measured
    yes: str
    no: str

    def __call__(self, targets: Any, length: Any) -> Any:
        """N and L, ints or int32 scalars -> bool, or a bool scalar of the graph."""
        best = self.table.fastest((self.yes, self.no)) == 0
        if best.all() or not best.any():
            return bool(best.all())
        if not (tf.is_tensor(targets) or tf.is_tensor(length)):
            return bool(best[_nearest(length, self.table.lengths), _nearest(targets, self.table.targets)])
        place = tf.stack([_nearest_of(length, self.table.lengths), _nearest_of(targets, self.table.targets)])
        return tf.gather_nd(tf.constant(best), place)


def _or_inf(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.inf if x is None else x for x in row] for row in rows], float)


def _nearest(value: int, known: tuple[int, ...]) -> int:
    """Index of the known value at the least ratio to `value`; the first of equals."""
    return int(np.abs(np.log(np.maximum(value, 1)) - np.log(np.array(known, float))).argmin())


def _nearest_of(value: Any, known: tuple[int, ...]) -> tf.Tensor:
    """`_nearest` in the graph."""
    logs = tf.constant(np.log(np.array(known, float)), tf.float32)
    asked = tf.math.log(tf.cast(tf.maximum(value, 1), tf.float32))
    return tf.argmin(tf.abs(asked - logs), output_type=tf.int32)
