"""What users like: a few topics each, whose weights drift over years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seminar_tf.data.generator.config import DAY_MS, START_MS
from seminar_tf.data.generator.world import ITEM_NOISE, World, normalised

TOPICS = 4
_DRIFT = 2.0
_PERIOD_DAYS = (500.0, 2_200.0)


@dataclass(frozen=True)
class Interests:
    """True tastes of a block of users. U users, J topics, k latent dimensions.

    Attributes:
      group: (U, J) int64, category and subtopic of each topic.
      style: (U, J) int64, the style liked in it.
      vector: (U, J, k) float32, unit length: what the user likes in the topic, own taste included.
      period_ms, phase: (U, J) float64, of the weights' drift.
    """

    group: np.ndarray
    style: np.ndarray
    vector: np.ndarray
    period_ms: np.ndarray
    phase: np.ndarray

    def weights(self, user: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
        """Weights of each topic at moments.

        Args:
          user: (R,) int64, positions in the block.
          time_ms: (R,) int64.

        Returns:
          (R, J) float64, softmax_j(2 cos(2 pi (t / period_j + phase_j))); rows sum to 1.
        """
        turn = (time_ms - START_MS)[:, None] / self.period_ms[user] + self.phase[user]
        weight = np.exp(_DRIFT * np.cos(2 * np.pi * turn))
        return weight / weight.sum(axis=1, keepdims=True)

    def interest(self, user: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mean topic vector under `weights`, (R, k) float32."""
        return np.einsum("rj,rjk->rk", weights.astype(np.float32), self.vector[user])


def draw_interests(world: World, users: int, rng: np.random.Generator) -> Interests:
    """Draws `users` users' topics; topics with more items are liked by more users."""
    config = world.config
    group = world.group[(rng.random((users, TOPICS)) * config.items).astype(np.int64)].astype(np.int64)
    style = (rng.random((users, TOPICS)) * config.styles).astype(np.int64)
    own = rng.standard_normal((users, TOPICS, config.latent_dim)) / config.latent_dim**0.5
    low, high = _PERIOD_DAYS
    return Interests(
        group=group,
        style=style,
        vector=normalised(world.group_vectors[group] + world.style_vectors[style] + ITEM_NOISE * own),
        period_ms=(low + (high - low) * rng.random((users, TOPICS))) * DAY_MS,
        phase=rng.random((users, TOPICS)),
    )
