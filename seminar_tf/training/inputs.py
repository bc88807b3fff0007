"""Epochs of training batches: from blocks in memory where the corpus fits, streamed from disk where it does not.

Either way the batches of an epoch are a pure function of (seed, epoch), which is what lets a killed run go on bit for
bit: it asks for the same epoch and skips to the step it had reached.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from seminar_tf.training import negatives
from seminar_tf.training.blocks import Block, candidate_width, request_count
from seminar_tf.training.cutters import Batch, Cutter
from seminar_tf.training.records import (
    Segments,
    concatenate,
    parse_segments,
    read_segments,
    record_dataset,
    take_segments,
    untuned,
)

logger = logging.getLogger(__name__)

# Pairs of a streamed block, at most and about; four times as many wait to be shuffled.
_BLOCK_PAIRS = 5_000_000
# Batches that are cut before they are asked for.
_PREFETCHED = 2


class Epochs(Protocol):
    """Training batches, epoch by epoch.

    Attributes:
      rows: requests in an epoch.
      steps: batches in an epoch.
    """

    rows: int
    steps: int

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """Batches [first_step, steps) of epoch `number`, a pure function of the seed and both."""


class MemoryEpochs:
    """Epochs over one block in memory: a full shuffle, and a resume that skips nothing but indices."""

    def __init__(self, block: Block, cutter: Cutter, batch_size: int, seed: int) -> None:
        self.rows = int(request_count(block))
        self.steps = math.ceil(self.rows / batch_size)
        self._block, self._cutter, self._batch_size, self._seed = block, cutter, batch_size, seed

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """See Epochs."""
        key = negatives.stream_key(self._seed, "train", number)
        order = tf.constant(np.random.default_rng(key).permutation(self.rows), tf.int64)
        size = self._batch_size

        # Autograph would take longer than tracing, here and below, and has nothing to convert.
        @tf.autograph.experimental.do_not_convert
        def cut(step: tf.Tensor) -> Batch:
            requests = order[step * size : (step + 1) * size]
            return self._cutter(self._block, requests, requests, number)

        steps = tf.data.Dataset.range(first_step, self.steps)
        return _ordered(steps.map(cut, num_parallel_calls=tf.data.AUTOTUNE))


class StreamedEpochs:
    """Epochs over files: sequences stream by in blocks, shuffled by file, by sequence and within a block.

    The records' order decides which requests meet in a block, so bit-equal epochs need the same files.
    """

    def __init__(
        self,
        files: Sequence[str],
        tasks: Sequence[str],
        to_block: Callable[[Segments], Block],
        cutter: Cutter,
        batch_size: int,
        seed: int,
        rows: int,
        segments_per_block: int,
    ) -> None:
        self.rows = rows
        self.steps = math.ceil(rows / batch_size)
        self._files, self._tasks, self._to_block, self._cutter = list(files), tuple(tasks), to_block, cutter
        self._batch_size, self._seed, self._segments_per_block = batch_size, seed, segments_per_block

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """See Epochs. Skipped batches are cut all the same."""
        key = negatives.stream_key(self._seed, "train", number)
        files = [self._files[n] for n in np.random.default_rng(key).permutation(len(self._files))]
        size = self._batch_size

        @tf.autograph.experimental.do_not_convert
        def batches(block_number: tf.Tensor, serialized: tf.Tensor) -> tf.data.Dataset:
            block = self._to_block(parse_segments(serialized, self._tasks))
            count = request_count(block)
            seed = tf.stack([tf.constant(key >> 1, tf.int64), block_number])
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)

            @tf.autograph.experimental.do_not_convert
            def cut(step: tf.Tensor) -> Batch:
                requests = order[step * size : (step + 1) * size]
                return self._cutter(block, requests, block_number * 2**32 + requests, number)

            steps = tf.data.Dataset.range((count + size - 1) // size)
            return steps.map(cut, num_parallel_calls=tf.data.AUTOTUNE)

        segments = record_dataset(files).shuffle(
            4 * self._segments_per_block, seed=key >> 1, reshuffle_each_iteration=False
        )
        blocks = segments.batch(self._segments_per_block).enumerate()
        # A block's last batch is short: rebatch fills it from the next block.
        return _ordered(blocks.flat_map(batches).rebatch(size).skip(first_step))


@dataclass(frozen=True)
class Corpus:
    """The train segments, and how much they hold.

    Attributes:
      files: where they were read.
      users: segments.
      pairs: pairs of all segments.
      rows: requests (or windows) of all segments.
      width: candidates of the widest request.
      segments: the segments by user id, or None where they hold more than `memory_pairs` pairs.
    """

    files: tuple[str, ...]
    users: int
    pairs: int
    rows: int
    width: int
    segments: Segments | None


def read_corpus(
    files: Sequence[str], tasks: Sequence[str], to_block: Callable[[Segments], Block], memory_pairs: int
) -> Corpus:
    """Reads the train segments once, keeping them while they fit.

    Args:
      files: GZIP TFRecord files of the train split.
      tasks: label tasks.
      to_block: turns segments into requests.
      memory_pairs: pairs that may be held in memory.

    Returns:
      The corpus; its segments are ordered by user id, so that training does not depend on the order of records.

    Raises:
      ValueError: there is nothing to train on.
    """
    users = pairs = rows = width = 0
    parts: list[Segments] = []
    for part in read_segments(files, tasks):
        block = to_block(part)
        users, pairs, rows = users + len(part.start), pairs + len(part.item), rows + int(request_count(block))
        width = max(width, candidate_width(block))
        parts = [*parts, part] if pairs <= memory_pairs else []
    if not rows:
        raise ValueError(
            f"no train target in {len(files)} file(s) with {users} users and {pairs} pairs: is data.min_history "
            "larger than every history, or the dataset too small for data.split? (psu.warm_windows: targets leaves out "
            "users without a train target.)"
        )
    segments = None
    if pairs <= memory_pairs:
        segments = concatenate(parts)
        segments = take_segments(segments, np.argsort(segments.user_id, kind="stable"))
    where = "memory" if segments is not None else "files"
    logger.info("train corpus: %d users, %d pairs, %d requests, from %s", users, pairs, rows, where)
    return Corpus(tuple(files), users, pairs, rows, width, segments)


def corpus_epochs(
    corpus: Corpus,
    tasks: Sequence[str],
    to_block: Callable[[Segments], Block],
    cutter: Cutter,
    batch_size: int,
    seed: int,
    shuffle_buffer: int,
) -> Epochs:
    """Epochs over a corpus, from memory or from its files.

    Args:
      corpus: of `read_corpus`, read with the same `tasks` and `to_block`.
      tasks: label tasks.
      to_block: turns segments into requests.
      cutter: cuts batches.
      batch_size: B.
      seed: of the run.
      shuffle_buffer: requests of a streamed block, about.
    """
    if corpus.segments is not None:
        return MemoryEpochs(to_block(corpus.segments), cutter, batch_size, seed)
    # Few requests over long histories must not make a block of all of them.
    most = _BLOCK_PAIRS * corpus.users // max(corpus.pairs, 1)
    per_block = max(1, min(round(shuffle_buffer * corpus.users / corpus.rows), most))
    return StreamedEpochs(corpus.files, tasks, to_block, cutter, batch_size, seed, corpus.rows, per_block)


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return untuned(dataset.prefetch(_PREFETCHED).with_options(options))
