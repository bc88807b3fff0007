"""The job that times a request of every exported ranker, in turns, on one core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.json_file import write_json
from pipelines.experiment.answering import split_requests
from pipelines.experiment.layout import CANDIDATE_SEED, Asked, Transformed
from seminar_tf.config import EvaluationConfig
from seminar_tf.config.experiment_parts import RequestTiming
from seminar_tf.evaluation.protocol import assemble
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.features import names

_REQUESTS = 16


def time_requests(
    models: Mapping[str, Path], data: Transformed, timing: RequestTiming, length: int, path: Path
) -> None:
    """Times signature `rank_indexed` of every model on the same requests, all of one shape.

    Args:
      models: ranker -> SavedModel folder.
      data: whose test requests are asked.
      timing: how.
      length: L, to which every history is padded.
      path: JSON file to write: ranker -> its median milliseconds in each round.
    """
    rankers = {name: SavedModelRanker(model) for name, model in models.items()}
    first = next(iter(rankers.values())).metadata
    batches = _requests(data, first.tasks, first.catalog, timing, length)
    for ranker in rankers.values():
        # The first call of a shape traces and allocates.
        ranker.score(batches[0])
        ranker.score(batches[0])
    found: dict[str, list[float]] = {name: [] for name in rankers}
    order = list(rankers)
    for number in range(timing.rounds):
        # Each is first once: what the one before leaves in the caches should not always fall to the same.
        for name in order[number % len(order) :] + order[: number % len(order)]:
            taken = []
            for call in range(timing.calls):
                batch = batches[(number * timing.calls + call) % len(batches)]
                start = time.perf_counter()
                rankers[name].score(batch)
                taken.append(1e3 * (time.perf_counter() - start))
            found[name].append(float(np.median(taken)))
    write_json(path, found)


def _requests(
    data: Transformed, tasks: tuple[str, ...], catalog: np.ndarray, timing: RequestTiming, length: int
) -> list[dict[str, np.ndarray]]:
    """One user each, with N candidates drawn from the catalog."""
    rng = np.random.default_rng(CANDIDATE_SEED)
    asked = Asked("test", EvaluationConfig(max_requests=_REQUESTS), length)
    batches = []
    for request in split_requests(data, tasks, asked)[:_REQUESTS]:
        batch = assemble([request], length)
        candidates = rng.choice(catalog, (1, timing.candidates)).astype(np.int32)
        batches.append(batch | {names.CANDIDATE_ITEM_ID: candidates})
    return batches
