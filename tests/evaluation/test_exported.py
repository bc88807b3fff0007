"""The protocol on a model that the real export wrote: its ranks are those of one call with every item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation import protocol
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.saved_model import SavedModelRanker, id_maps
from tests.serving import fake_ranker as fake


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    fake.export(root / "model", fake.write_vocabularies(root / "transform"), seed=3)
    return root / "model"


@pytest.mark.parametrize("seed", range(2))
def test_ranks_are_those_of_one_call_with_every_item(
    exported: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CANDIDATES_PER_CALL", 3)
    ranker = SavedModelRanker(exported)
    catalog = ranker.metadata.catalog
    rng = np.random.default_rng(seed)
    requests = [
        Request(
            user=f"u{n}".encode(),
            position=n,
            item=rng.integers(1, len(catalog) + 1, n).astype(np.int32),
            query=np.ones(n, np.int32),
            timestamp=np.arange(n, dtype=np.int64) * 1000,
            user_attributes=np.array([1] * (n % 2), np.int32),
            request_query=1,
            request_timestamp=1000 * n,
            target_item=rng.integers(1, len(catalog) + 1, 2).astype(np.int32),
            target_label=np.ones(2, np.float32),
        )
        for n in range(1, 6)
    ]
    outcomes = list(protocol.rank(ranker, requests, catalog, EvaluationConfig(), 0, "test"))
    for request, outcome in zip(requests, outcomes):
        batch = protocol.assemble([request], ranker.history_length)
        scores = ranker.score({**batch, "candidate_item_id": catalog[None, :]})[0]
        own = scores[request.target_item - 1]
        np.testing.assert_allclose(outcome.score, own, atol=1e-6)
        assert np.all((scores >= 0) & (scores <= 1))
        # Calls of another width may round differently: scores that close count as either higher or not.
        clear = np.abs(scores[None, :] - own[:, None]) > 1e-6
        higher = np.sum((scores[None, :] > own[:, None]) & clear, axis=1)
        assert np.all(outcome.higher >= higher)
        assert np.all(outcome.higher + outcome.ties <= len(catalog) - 1 - np.sum(clear, axis=1) + higher)


def test_the_export_carries_the_vocabularies_that_translation_reads(exported: Path) -> None:
    maps = id_maps(exported, exported)
    assert maps.items is None and maps.queries is None and maps.attributes is None
