"""Ids of one model read in another's vocabulary, as TensorFlow's own lookup table would; refusals by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation.saved_model import SavedModelRanker, id_maps
from seminar_tf.export.metadata import FOLDER, MetadataError, ModelMetadata
from seminar_tf.features.vocabulary import FeatureSizes

import tensorflow as tf  # isort: skip


def make(root: Path, items: list[str], queries: list[str], oov: int = 3) -> Path:
    """A model folder with vocabularies and metadata, and no graph."""
    (root / "assets").mkdir(parents=True)
    for name, terms in (("items", items), ("queries", queries), ("attributes", ["a=1"])):
        (root / "assets" / name).write_text("".join(f"{term}\n" for term in terms), encoding="utf-8")
    sizes = FeatureSizes(items=1 + len(items) + oov, queries=2 + len(queries) + oov, tokens=2, attributes=4)
    ModelMetadata(
        history_length=4,
        known_items=len(items),
        sizes=sizes,
        tasks=("click",),
        evaluation=EvaluationConfig(),
        seed=1,
        item_count=np.zeros(sizes.items, np.int64),
    ).save(root)
    return root


def lookup(folder: Path, name: str, first: int, oov: int, terms: list[str]) -> list[int]:
    """Ids as serving gives them."""
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(folder / "assets" / name), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        oov,
    )  # fmt: skip
    return (table.lookup(tf.constant(terms)) + first).numpy().tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("oov", [1, 3, 7])
def test_ids_become_what_the_other_model_looks_up(tmp_path: Path, seed: int, oov: int) -> None:
    rng = np.random.default_rng(seed)
    terms = [f"Ünï {n}\u2028" for n in range(60)]
    here = rng.permutation(terms)[:40].tolist()
    there = rng.permutation(terms)[:35].tolist()
    one = make(tmp_path / "one", here, here[:9])
    other = make(tmp_path / "other", there, there[:7], oov)
    maps = id_maps(one, other)
    assert maps.items is not None and maps.queries is not None
    assert maps.items[:41].tolist() == [0, *lookup(other, "items", 1, oov, here)]
    assert maps.queries[:11].tolist() == [0, 1, *lookup(other, "queries", 2, oov, here[:9])]
    assert set(maps.items[41:].tolist()) <= set(range(36, 36 + oov))
    assert len(maps.items) == 44


def test_equal_vocabularies_need_no_map(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", ["x", "y"], ["q"]), make(tmp_path / "other", ["x", "y"], ["q"])
    maps = id_maps(one, other)
    assert maps.items is None and maps.queries is None and maps.attributes is None
    batch = {"history_item_id": np.ones((1, 2), np.int32)}
    assert maps.apply(batch) == batch


def test_maps_apply_to_every_id_of_a_batch(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", ["x", "y"], ["q", "r"]), make(tmp_path / "other", ["y", "x"], ["r", "q"])
    batch = {
        "history_item_id": np.array([[1, 2, 0]]),
        "candidate_item_id": np.array([[2, 0]]),
        "history_query": np.array([[2, 1, 0]]),
        "query": np.array([3]),
        "user_attributes": np.array([[1]]),
        "request_timestamp": np.array([9]),
    }
    found = {name: value.tolist() for name, value in id_maps(one, other).apply(batch).items()}
    assert found == {
        "history_item_id": [[2, 1, 0]],
        "candidate_item_id": [[1, 0]],
        "history_query": [[3, 1, 0]],
        "query": [2],
        "user_attributes": [[1]],
        "request_timestamp": [9],
    }


def test_missing_vocabulary_is_named(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", ["x"], ["q"]), make(tmp_path / "other", ["x"], ["q"])
    (other / "assets" / "items").unlink()
    with pytest.raises(MetadataError, match="other/assets/items does not exist"):
        id_maps(one, other)


class _Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, "candidate_item_id")])
    def rank(self, candidates):  # type: ignore[no-untyped-def]
        return {"score_like": tf.cast(candidates, tf.float32)}


def test_models_without_signature_or_output_are_refused(tmp_path: Path) -> None:
    module, target = _Module(), tmp_path / "model"
    make(target, ["x"], ["q"])
    tf.saved_model.save(module, str(target), signatures={"serving_default": module.rank})
    with pytest.raises(MetadataError, match=r"has signatures \['serving_default'\], expected 'rank_indexed'"):
        SavedModelRanker(target)
    tf.saved_model.save(module, str(target), signatures={"rank_indexed": module.rank})
    with pytest.raises(MetadataError, match=r"gives \['score_like'\], expected 'score_click'"):
        SavedModelRanker(target)
    (target / FOLDER / "seminar.json").unlink()
    with pytest.raises(MetadataError, match=r"seminar\.json does not exist"):
        SavedModelRanker(target)
