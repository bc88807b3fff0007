"""Keeps rejected rows: Parquet parts with a reason column, counts by reason in a JSON file and in the log."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seminar_tf.data.rejection import REJECTED_SCHEMA

logger = logging.getLogger(__name__)

# The underscore keeps it out of the way of readers that take the folder for one Parquet dataset.
COUNTS_FILE = "_counts.json"


class DeadLetterWriter:
    """Context manager that writes `folder/part-<name>.parquet`.

    The part is written under a hidden name and renamed when the context is left without an exception, so readers of
    `part-*.parquet` never see half of one. Workers that share a folder each need a name of their own. No rejected
    rows, no file.

    Attributes:
      counts: rejected rows so far, by (table, reason).
    """

    def __init__(self, folder: str | Path, name: str = "00000") -> None:
        """Args:
        folder: made when the first row comes.
        name: tells this writer's part from others in the folder; a part of the same name is replaced.
        """
        self.counts: Counter[tuple[str, str]] = Counter()
        self._folder = Path(folder)
        self._final = self._folder / f"part-{name}.parquet"
        self._hidden = self._folder / f".part-{name}.parquet.{os.getpid()}"
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> DeadLetterWriter:
        # A part left by an earlier run of the same work would be counted as this one's.
        self._final.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if error is None:
            os.replace(self._hidden, self._final)
        else:
            self._hidden.unlink(missing_ok=True)

    def write(self, rejected: pa.Table) -> None:
        """Appends dead letters (columns of REJECTED_SCHEMA)."""
        if rejected.num_rows == 0:
            return
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._hidden, REJECTED_SCHEMA, compression="zstd")
        self._writer.write_table(rejected.select(REJECTED_SCHEMA.names))
        self.counts.update(count_reasons(rejected))


def count_reasons(rejected: pa.Table) -> Counter[tuple[str, str]]:
    """Counts dead letters by (table, reason)."""
    pairs = pc.binary_join_element_wise(rejected["table"], rejected["reason"], "/")
    counted = pc.value_counts(pairs)
    counts: Counter[tuple[str, str]] = Counter()
    for entry in counted.to_pylist():
        table, _, reason = entry["values"].partition("/")
        counts[table, reason] = entry["counts"]
    return counts


def read_counts(folder: str | Path) -> Counter[tuple[str, str]]:
    """Counts the dead letters of every finished part in a folder by (table, reason); empty where there are none."""
    counts: Counter[tuple[str, str]] = Counter()
    for part in sorted(Path(folder).glob("part-*.parquet")):
        counts.update(count_reasons(pq.read_table(part, columns=["table", "reason"])))
    return counts


def report(
    counts: Counter[tuple[str, str]], accepted: dict[str, int], folder: str | Path, shown: str | Path = ""
) -> dict[str, Any]:
    """Writes `folder/_counts.json` and logs a line for each reason.

    Args:
      counts: dead letters by (table, reason), of all parts in `folder`.
      accepted: accepted rows by table.
      folder: where the parts are; made if missing.
      shown: how the log calls the folder, where it is about to be renamed.

    Returns:
      What was written: {"accepted": {table: rows}, "rejected": {table: {reason: rows}}}.
    """
    folder = Path(folder)
    rejected: dict[str, dict[str, int]] = {}
    for (table, reason), rows in sorted(counts.items()):
        rejected.setdefault(table, {})[reason] = rows
        logger.warning("%s: %d rows rejected as %s, kept in %s", table, rows, reason, shown or folder)
    for table, rows in sorted(accepted.items()):
        logger.info("%s: %d rows accepted", table, rows)
    summary = {"accepted": dict(sorted(accepted.items())), "rejected": rejected}
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{COUNTS_FILE}.{os.getpid()}"
    hidden.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    os.replace(hidden, folder / COUNTS_FILE)
    return summary
