"""Segments out of the Arrow batches of transformed examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from seminar_tf.evaluation.requests import Segment, SegmentError
from seminar_tf.features import names


class _Column:
    """One feature of a batch: a ragged list for each example, empty lists where the batch lacks the feature."""

    def __init__(self, batch: pa.RecordBatch, name: str, dtype: type) -> None:
        self.name = name
        index = batch.schema.get_field_index(name)
        # tfx_bsl leaves a feature out, or types it null, when no example of the batch has a value.
        if index < 0 or pa.types.is_null(batch.column(index).type):
            self.values = np.empty(0, dtype)
            self.offsets = np.zeros(batch.num_rows + 1, np.int64)
            return
        column = batch.column(index)
        offsets = np.asarray(column.offsets, dtype=np.int64)
        self.offsets = offsets - offsets[0]
        self.values = column.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def one(self, row: int) -> object:
        """The single value of a row that must have one."""
        values = self[row]
        if len(values) != 1:
            raise SegmentError(
                f"a transformed example has {len(values)} values of feature {self.name!r}, expected one. Are the "
                "Evaluator's examples the train, eval and test splits of Transform?"
            )
        return values[0]


def read_segments(
    batch: pa.RecordBatch, task: str, impression_tasks: Sequence[str] = ()
) -> Iterator[tuple[bytes, Segment]]:
    """Reads the segments of a batch.

    Args:
      batch: transformed examples of the train, eval and test splits, a list column each feature.
      task: the task whose labels the targets take.
      impression_tasks: tasks whose labels the targets carry besides (`Segment.labels`); none by default.

    Yields:
      (user_id, segment) of each example.

    Raises:
      SegmentError: a feature is missing, or features that go together differ in length.
    """
    single = {n: _Column(batch, n, object) for n in (names.USER_ID, names.SPLIT, names.SEGMENT_START)}
    pairs = {
        names.HISTORY_ITEM_ID: _Column(batch, names.HISTORY_ITEM_ID, np.int32),
        names.HISTORY_QUERY: _Column(batch, names.HISTORY_QUERY, np.int32),
        names.HISTORY_TIMESTAMP: _Column(batch, names.HISTORY_TIMESTAMP, np.int64),
    }
    targets = {
        names.TARGET_POSITION: _Column(batch, names.TARGET_POSITION, np.int64),
        names.TARGET_TIMESTAMP: _Column(batch, names.TARGET_TIMESTAMP, np.int64),
        names.TARGET_ITEM_ID: _Column(batch, names.TARGET_ITEM_ID, np.int32),
        names.TARGET_QUERY: _Column(batch, names.TARGET_QUERY, np.int32),
        names.label(task): _Column(batch, names.label(task), np.float32),
    }
    for name in map(names.label, impression_tasks):
        targets.setdefault(name, _Column(batch, name, np.float32))
    attributes = _Column(batch, names.USER_ATTRIBUTES, np.int32)
    for row in range(batch.num_rows):
        user = single[names.USER_ID].one(row)
        assert isinstance(user, bytes)
        pair_values = _same_length(user, pairs, row)
        target_values = _same_length(user, targets, row)
        by_name = dict(zip(targets, target_values))
        yield (
            user,
            Segment(
                split=single[names.SPLIT].one(row).decode(),  # type: ignore[attr-defined]
                start=int(single[names.SEGMENT_START].one(row)),  # type: ignore[call-overload]
                length=len(pair_values[0]),
                item=pair_values[0],
                query=pair_values[1],
                timestamp=pair_values[2],
                user_attributes=attributes[row].copy(),
                target_position=target_values[0],
                target_timestamp=target_values[1],
                target_item=target_values[2],
                target_query=target_values[3],
                target_label=target_values[4],
                labels=np.stack([by_name[names.label(name)] for name in impression_tasks], axis=1)
                if impression_tasks
                else None,
            ),
        )


def _same_length(user: bytes, columns: dict[str, _Column], row: int) -> list[np.ndarray]:
    # Copies: a view would keep the whole batch in memory for as long as the segment lives.
    values = [column[row].copy() for column in columns.values()]
    lengths = {name: len(value) for name, value in zip(columns, values)}
    if len(set(lengths.values())) != 1:
        raise SegmentError(f"user {user!r}: features that go together differ in length: {lengths}.")
    return values
