"""One batch cut out of a block of sequences: windows for the PSU, requests with their candidates for a ranker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.training import negatives, windows
from seminar_tf.training.blocks import Block

Batch = dict[str, tf.Tensor]


class Cutter(Protocol):
    """Cuts one batch out of a block."""

    def __call__(self, block: Block, requests: tf.Tensor, index: tf.Tensor, epoch: int) -> Batch:
        """Args:
          block: pairs and requests.
          requests: (B,) int64 numbers of requests in the block.
          index: (B,) int64 numbers of the same requests in the corpus, which seed their draws.
          epoch: from 0.

        Returns:
          The batch.
        """


@dataclass(frozen=True)
class WindowCutter:
    """Batches of the PSU: histories, whose newest pairs are what is to be predicted.

    Attributes:
      length: L.
      attributes: width of `user_attributes`.
    """

    length: int
    attributes: int

    def __call__(self, block: Block, requests: tf.Tensor, index: tf.Tensor, epoch: int) -> Batch:
        """See Cutter; gives the history windows and `user_attributes`."""
        return {
            **windows.history_windows(block, requests, self.length),
            names.USER_ATTRIBUTES: windows.user_attributes(block, requests, self.attributes),
        }


@dataclass(frozen=True)
class RequestCutter:
    """Batches of a ranker: requests with their candidates, drawn negatives and labels.

    Attributes:
      length: L.
      attributes: width of `user_attributes`.
      tasks: label tasks, in the order of the block's label columns.
      width: candidates that a request comes with, at most.
      drawn: negatives drawn for each request.
      sampler: draws them.
      seed: of the run.
      split: segment split, whose draws are apart from those of other splits.
    """

    length: int
    attributes: int
    tasks: tuple[str, ...]
    width: int
    drawn: int
    sampler: negatives.NegativeSampler
    seed: int
    split: str = "train"

    def __call__(self, block: Block, requests: tf.Tensor, index: tf.Tensor, epoch: int) -> Batch:
        """See Cutter; gives the batch of the models, `label_<task>` among it."""
        batch = windows.request_batch(block, requests, self.length, self.attributes)
        items, labels = windows.candidates(block, requests, self.width)
        if self.drawn:
            key = negatives.stream_key(self.seed, self.split, epoch)
            items, labels = negatives.add_negatives(
                items, labels, self.sampler.draw(items[:, 0], index, key, self.drawn)
            )
        return {**batch, names.CANDIDATE_ITEM_ID: items, **windows.label_columns(labels, self.tasks)}
