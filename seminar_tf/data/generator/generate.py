"""Writes a whole generated dataset, block by block."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seminar_tf.config_io import ConfigError
from seminar_tf.data.generator.catalog import item_blocks
from seminar_tf.data.generator.config import GeneratorConfig
from seminar_tf.data.generator.ideal import Ideal
from seminar_tf.data.generator.simulate import Block, simulate
from seminar_tf.data.generator.tables import RowWriter, by_span, span_of
from seminar_tf.data.generator.world import World, build_world
from seminar_tf.data.writer import DatasetWriter

logger = logging.getLogger(__name__)

IDEAL_FILE = "ideal.json"
CONFIG_FILE = "generator.json"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Summary:
    """What was written.

    Attributes:
      rows: (span, table) -> rows.
      longest: events of the user who has most.
      shortest: events of the user who has fewest.
      ideal: the contents of ideal.json.
    """

    rows: dict[tuple[int, str], int]
    longest: int
    shortest: int
    ideal: dict[str, Any]

    def total(self, table: str) -> int:
        """Rows of a table over all spans."""
        return sum(rows for (_, name), rows in self.rows.items() if name == table)


def generate(
    config: GeneratorConfig, out: str | Path, *, overwrite: bool = False, progress: Progress = lambda *_: None
) -> Summary:
    """Generates a dataset.

    Args:
      config: sizes and seed.
      out: dataset folder; it appears when all is written.
      overwrite: replace a folder that is there.
      progress: called with ("items" or "users", done, total) after each block.

    Returns:
      Counts, and what the ideal ranker reaches.

    Raises:
      DatasetError: `out` is there and `overwrite` is not set, or is no dataset.
      ConfigError: a daily span would hold no event.
    """
    with DatasetWriter(out, overwrite=overwrite) as writer:
        run = _Run(build_world(config), writer)
        run.write_items(progress)
        run.write_users(range(-(-config.users // config.users_per_block)), progress)
        run.check_spans()
        ideal = run.ideal.report()
        writer.write_json(IDEAL_FILE, ideal)
        writer.write_json(CONFIG_FILE, dataclasses.asdict(config))
    return Summary(dict(writer.rows), run.longest, run.shortest, ideal)


class _Run:
    """One dataset being written; keeps counts only."""

    def __init__(self, world: World, writer: DatasetWriter):
        self.world, self.config, self.writer = world, world.config, writer
        self.tables, self.ideal = RowWriter(world), Ideal(world)
        self.longest, self.shortest = 0, np.iinfo(np.int64).max

    def write_items(self, progress: Progress) -> None:
        for rows, table in item_blocks(self.world):
            self._write("items", table, span_of(self.world.born_ms[rows], self.config))
            progress("items", int(rows[-1]) + 1, self.config.items)

    def write_users(self, blocks: Iterable[int], progress: Progress) -> None:
        for number in blocks:
            block = simulate(self.world, number)
            self.ideal.add(block)
            self._write_block(block)
            progress("users", block.first_user + len(block.interests.group), self.config.users)

    def check_spans(self) -> None:
        """Raises ConfigError where a day without any event would make an unreadable span."""
        for span in range(1, self.config.spans + 1):
            if not self.writer.rows.get((span, "events")):
                raise ConfigError(
                    f"spans: no event falls in span {span} of {self.config.spans}; ask for fewer spans or more users."
                )

    def _write_block(self, block: Block) -> None:
        # Rows go by the day of their request, so that one request never lies in two spans.
        span = span_of(block.context.time_ms, self.config)
        request, events = self.tables.event_rows(block)
        self._write("events", events, span[request])
        request, requests = self.tables.request_rows(block)
        self._write("requests", requests, span[request])
        first_ms, users = self.tables.user_rows(block)
        self._write("users", users, span_of(first_ms, self.config))
        lengths = np.bincount(block.user, weights=block.click.sum(axis=1) + (block.direct >= 0)).astype(np.int64)
        self.longest = max(self.longest, int(lengths.max()))
        self.shortest = min(self.shortest, int(lengths.min()))

    def _write(self, table: str, rows: pa.Table, span: np.ndarray) -> None:
        for number, part in by_span(rows, span).items():
            self.writer.write(number, table, part)
