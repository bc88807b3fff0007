"""A model in memory behind the evaluation's interfaces: logits to rank by, probabilities of every task."""

from __future__ import annotations

import numpy as np
import pytest

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from seminar_tf.evaluation.impressions import score_targets
from seminar_tf.evaluation.protocol import assemble
from seminar_tf.training.ranking import LiveRanker
from tests.evaluation.test_protocol import make_request

import tensorflow as tf  # isort: skip


class Table:
    """Logits by item and history length; float16 for one task, as mixed precision gives them."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = tf.constant(table, tf.float32)
        self.traces = 0

    def __call__(self, batch: dict[str, tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        self.traces += 1
        pairs = tf.reduce_sum(tf.cast(batch["history_item_id"] > 0, tf.float32), axis=1, keepdims=True)
        logits = tf.gather(self.table, batch["candidate_item_id"]) + pairs
        return {"click": logits, "like": tf.cast(-logits, tf.float16)}


@pytest.mark.parametrize("seed", range(2))
def test_probabilities_of_all_tasks_rank_as_the_logits_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(-8, 9, 40) / 2
    model = Table(table)
    ranker = LiveRanker(model, "click", history_length=5)
    targets = [rng.integers(1, 40, n % 5 + 1).tolist() for n in range(9)]
    requests = [make_request(f"u{n}", [1] * (n % 8), items, [1.0] * len(items)) for n, items in enumerate(targets)]
    for request, scores in zip(requests, score_targets(ranker, requests, ("like", "click"))):
        logits = table[request.target_item] + min(5, len(request.item))
        np.testing.assert_allclose(scores[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-12)
        np.testing.assert_allclose(scores[:, 0], 1 / (1 + np.exp(logits)), rtol=1e-12)
        batch = assemble([request], 5) | {"candidate_item_id": request.target_item[np.newaxis]}
        np.testing.assert_allclose(ranker.score(batch)[0], logits)
    # For logits and for probabilities of all tasks, whatever the widths.
    assert model.traces == 1
