"""Which items a true item is ranked among when it is not the whole catalog: negatives drawn for each target.

A draw depends on the seed, the split, the user, the position and the target, and on nothing else: the same for every
model, apart for each split and seed, and apart from training's (known fault 9).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation.requests import Request

_BLOCKS = 8
_LEAST_MASS = 1 / 8


class CandidateError(ValueError):
    """Negatives that cannot be drawn as asked; the message says what is missing."""


class Negatives(Protocol):
    """A way to draw negatives."""

    def draw(self, request: Request, target: int, count: int, seed: int, split: str, exclude: np.ndarray) -> np.ndarray:
        """Distinct items, neither the target nor excluded; fewer than `count` where there are no more. (n,) int32."""
        ...


def draw_negatives(
    request: Request, target: int, catalog: np.ndarray, count: int, seed: int, split: str, exclude: np.ndarray
) -> np.ndarray:
    """Distinct catalog items for one target, uniform over those that are neither the target nor excluded.

    Args:
      request: the request.
      target: item id of the target.
      catalog: (V,) item ids to draw from.
      count: negatives wanted; fewer come back where the catalog has no more.
      seed: the evaluation's seed.
      split: name of the evaluated split.
      exclude: item ids that are no candidates; the target is left out in any case.

    Returns:
      (count,) int32 item ids.
    """
    rng = _stream(request, target, seed, split)
    barred = np.union1d(exclude, [target])
    drawn = rng.choice(catalog, min(len(catalog), count + len(barred)), replace=False)
    return drawn[~np.isin(drawn, barred)][:count].astype(np.int32)


class UniformNegatives:
    """Every item of the catalog is as likely as any other (`draw_negatives`)."""

    def __init__(self, catalog: np.ndarray) -> None:
        """Takes the catalog, (V,) int32 ids."""
        self.catalog = catalog

    def draw(self, request: Request, target: int, count: int, seed: int, split: str, exclude: np.ndarray) -> np.ndarray:
        """See `Negatives.draw`. Returns (n,) int32."""
        return draw_negatives(request, target, self.catalog, count, seed, split, exclude)


class PopularNegatives:
    """Items in proportion to their train counts, without repetition.

    The k-th negative is item i with probability w_i / (sum of w over items neither barred nor drawn before), w being
    the counts: successive sampling. An item of count 0 is never drawn, so fewer than `count` come back where fewer
    items have a count.

    Drawing with repetition and dropping what is barred or was drawn before gives just that law at O(log V) a draw.
    Where nearly all mass is barred or drawn (one item may hold most of it), the rest comes from one exponential race:
    arrival times E_i / w_i with E_i ~ Exp(1), the first ones win, which is the same law again at O(V).
    """

    def __init__(self, catalog: np.ndarray, item_count: np.ndarray) -> None:
        """Args:
          catalog: (V,) int32 ids, ascending.
          item_count: (rows,) train count of each id.

        Raises:
          CandidateError: the counts do not cover the catalog, one is negative, or all are 0.
        """
        if len(catalog) and int(catalog[-1]) >= len(item_count):
            raise CandidateError(
                f"popular negatives: the catalog's ids go up to {int(catalog[-1])}, but item_count has "
                f"{len(item_count)} rows. Expected a count for every id."
            )
        counts = np.asarray(item_count, np.float64)[catalog]
        if not np.all(counts >= 0) or not counts.any():
            raise CandidateError(
                "popular negatives: expected counts of 0 or more, not all 0; "
                f"found {'a negative one or NaN' if counts.any() else 'nothing but 0'} in item_count. Was the model "
                "exported without train counts? Use evaluation.candidates: sampled then."
            )
        self._ids = catalog[counts > 0].astype(np.int32)
        self._upper = np.cumsum(counts[counts > 0])

    def draw(self, request: Request, target: int, count: int, seed: int, split: str, exclude: np.ndarray) -> np.ndarray:
        """See `Negatives.draw`. Returns (n,) int32, in the order in which they were drawn."""
        rng = _stream(request, target, seed, f"{split}/popular")
        # Ranks among the items with a count. What is barred joins what is taken, and is cut off at the end.
        barred = self._ranks(np.append(exclude, target))
        taken, held = barred, float(self._mass(barred).sum())
        total = float(self._upper[-1])
        wanted = len(barred) + min(count, len(self._ids) - len(barred))
        for _ in range(_BLOCKS):
            if len(taken) >= wanted:
                break
            free = 1 - held / total
            if free < _LEAST_MASS:
                break
            size = int(np.ceil((wanted - len(taken)) / free)) + 8
            fresh = np.searchsorted(self._upper, rng.random(size) * total, side="right")
            before = len(taken)
            taken = _in_order(np.concatenate([taken, np.minimum(fresh, len(self._ids) - 1)]))
            held += float(self._mass(taken[before:]).sum())
        if len(taken) < wanted:
            taken = np.concatenate([taken, self._race(rng, taken, wanted - len(taken))])
        return self._ids[taken[len(barred) : wanted]]

    def _ranks(self, ids: np.ndarray) -> np.ndarray:
        # Of one type: NumPy would turn the whole catalog into the wider one at every search.
        ids = np.unique(ids).astype(self._ids.dtype)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return at[self._ids[at] == ids]

    def _mass(self, ranks: np.ndarray) -> np.ndarray:
        mass: np.ndarray = self._upper[ranks] - np.where(ranks > 0, self._upper[np.maximum(ranks, 1) - 1], 0.0)
        return mass

    def _race(self, rng: np.random.Generator, taken: np.ndarray, count: int) -> np.ndarray:
        arrival = rng.exponential(size=len(self._ids)) / self._mass(np.arange(len(self._ids)))
        arrival[taken] = np.inf
        first = np.argpartition(arrival, count - 1)[:count]
        return first[np.argsort(arrival[first], kind="stable")]


def negatives_of(config: EvaluationConfig, catalog: np.ndarray, item_count: np.ndarray | None) -> Negatives:
    """The way that `evaluation.candidates` names.

    Args:
      config: of the evaluation; its candidates are not `full`.
      catalog: (V,) int32 ids of all real items, ascending.
      item_count: (rows,) train count of each id; only `popular` reads it.

    Raises:
      CandidateError: `popular` without usable counts.
    """
    if config.candidates != "popular":
        return UniformNegatives(catalog)
    if item_count is None:
        raise CandidateError(
            "evaluation.candidates is popular, but no item_count was given. Pass the train counts: "
            "ModelMetadata.item_count of a SavedModel, ItemFeatures.count of the catalog."
        )
    return PopularNegatives(catalog, item_count)


def _stream(request: Request, target: int, seed: int, split: str) -> np.random.Generator:
    key = f"{seed}/evaluation/{split}/{request.position}/{target}/".encode() + request.user
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big"))


def _in_order(values: np.ndarray) -> np.ndarray:
    """The distinct values, each at the place where it came first."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]
