"""A small transformed dataset, and arguments of both Trainers for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipelines.trainers import psu, seminar
from seminar_tf.config import FeatureConfig, ModelConfig, PipelineConfig, ServingConfig, TrainConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.features import names
from seminar_tf.features.vocabulary import vocabulary_path
from tests.training.corpus import ITEMS, QUERIES, User, make_users, write_records, write_segments

WORDS, ATTRIBUTES = 12, 6
SPEC = DatasetSpec((1,), tasks=("click",))
CONFIG = PipelineConfig(
    features=FeatureConfig(item_oov_buckets=2, query_oov_buckets=1, max_title_tokens=3, max_attributes=2),
    model=ModelConfig(
        history_length=8,
        serving_history_length=16,
        top_k=4,
        dim=8,
        heads=2,
        short_length=3,
        hidden_units=(8,),
        text_layers=0,  # a block is much of what is traced of a PSU
    ),
    psu=TrainConfig(epochs=1, batch_size=32, window_stride=4),
    seminar=TrainConfig(epochs=2, batch_size=32, patience=1, negatives=2),
    serving=ServingConfig(warmup_candidates=(1,)),
)


def write_dataset(root: Path, users: list[User] | None = None) -> None:
    """Transformed splits and vocabularies of the sequences of `users`, random ones by default."""
    write_segments(root / "examples", make_users(0) if users is None else users)
    rng = np.random.default_rng(0)
    items = [
        {
            names.ITEM_ID: [item],
            names.ITEM_TOKENS: rng.integers(1, WORDS + 1, 2).tolist(),
            names.ITEM_ATTRIBUTES: [int(rng.integers(1, ATTRIBUTES))],
            names.ITEM_COUNT: [int(rng.integers(1, 9))],
        }
        for item in range(1, ITEMS + 1)
    ]
    queries = [
        {names.QUERY: [query], names.QUERY_TOKENS: [query], names.QUERY_COUNT: [2]} for query in range(2, QUERIES)
    ]
    for split, rows in (("catalog", items), ("queries", queries)):
        (root / "examples" / f"Split-{split}").mkdir()
        write_records(str(root / "examples" / f"Split-{split}" / "part-0.gz"), rows)
    vocabularies = {
        names.ITEM_VOCABULARY: [f"item-{n}" for n in range(ITEMS)],
        names.QUERY_VOCABULARY: [f"query {n}" for n in range(QUERIES - 2)],
        names.TOKEN_VOCABULARY: [f"word{n}" for n in range(WORDS)],
        names.ATTRIBUTE_VOCABULARY: [f"a={n}" for n in range(ATTRIBUTES)],
    }
    for name, entries in vocabularies.items():
        path = vocabulary_path(root / "graph", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(entries) + "\n")


def fn_args(root: Path, stage: str, base_model: str | None = None, **custom: str) -> Any:
    """Arguments as TFX's executor gives them."""
    return SimpleNamespace(
        train_files=[str(root / "examples" / "Split-train" / "*")],
        transform_graph_path=str(root / "graph"),
        base_model=base_model,
        serving_model_dir=str(root / stage / "model" / "Format-Serving"),
        model_run_dir=str(root / stage / "run"),
        custom_config={
            "config": to_json(CONFIG),
            "dataset": to_json(SPEC),
            "state_dir": str(root / "state"),
            "code": "c0de",
            **custom,
        },
    )


def train_both(root: Path) -> None:
    """A dataset in `root`, and both stages trained on it."""
    write_dataset(root)
    psu.run_fn(fn_args(root, "psu"))
    seminar.run_fn(fn_args(root, "seminar", str(root / "psu" / "model" / "Format-Serving")))
