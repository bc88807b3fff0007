"""SEMINAR with random weights and an exported folder of it: servers are tested and measured without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seminar_tf.config import FeatureConfig, ModelConfig, PipelineConfig, RetrievalConfig, ServingConfig, TrainConfig
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes, feature_sizes
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.rankers import make_ranker, reads_categories
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker
from seminar_tf.retrieval.served import prepare

TASKS = ("click", "like")


def write_vocabularies(folder: Path, entries: Mapping[str, Sequence[str]]) -> Path:
    """A folder like a TransformGraph artifact's, with vocabularies only.

    Args:
      folder: to write.
      entries: vocabulary name -> its entries.
    """
    assets = folder / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    for name, lines in entries.items():
        (assets / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def random_seminar(
    sizes: FeatureSizes,
    seed: int,
    config: PipelineConfig,
    tasks: tuple[str, ...] = TASKS,
    train: TrainConfig | None = None,
) -> Seminar:
    """SEMINAR with random tables and weights; seven in ten items have each modality."""
    made = random_model(sizes, seed, config, tasks, train)
    assert isinstance(made, Seminar)
    return made


def random_model(
    sizes: FeatureSizes,
    seed: int,
    config: PipelineConfig,
    tasks: tuple[str, ...] = TASKS,
    train: TrainConfig | None = None,
) -> TableRanker:
    """The same of the ranker that the configuration names; items have up to two of five categories."""
    rng = np.random.default_rng(seed)
    known = (np.arange(sizes.items) > 0) & (np.arange(sizes.items) < sizes.items - config.features.item_oov_buckets)
    has = known & (rng.random((3, sizes.items)) < 0.7)
    features = ItemFeatures(
        tokens=np.zeros((sizes.items, 2), np.int32),
        attributes=np.zeros((sizes.items, 2), np.int32),
        numeric=np.zeros((sizes.items, 0), np.float32),
        image=np.zeros((sizes.items, 0), np.float32),
        text_vector=np.zeros((sizes.items, 0), np.float32),
        has_text=has[0],
        has_image=has[1],
        has_attributes=has[2],
        known=known,
        count=rng.integers(0, 50, sizes.items) * known,
    )
    dim = config.model.dim
    tables = ChannelTables(
        channels=config.model.channels,
        item=rng.normal(0, 1, (sizes.items, 3, dim)).astype(np.float32) * has.T[:, :, None],
        item_mask=has.T,
        query=rng.normal(0, 1, (sizes.queries, dim)).astype(np.float32),
    )
    categories = None
    if reads_categories(config.model):
        categories = rng.integers(0, 6, (sizes.items, 2)) * known[:, None]
    return make_ranker(config.model, sizes, tasks, tables, features, seed, train, categories=categories)


def served_seminar(sizes: FeatureSizes, seed: int, config: PipelineConfig, tasks: tuple[str, ...] = TASKS) -> Seminar:
    """A random SEMINAR with its tables as `config.retrieval` serves them."""
    model = random_seminar(sizes, seed, config, tasks)
    # Keras makes what is left of the variables at the first call.
    model(_batch())
    prepare(model, config.retrieval, seed)
    return model


@dataclass(frozen=True)
class Sizes:
    """Sizes of an exported random model.

    Attributes:
      items, queries: entries of the vocabularies.
      length: L, pairs that it serves.
      candidates: N of the warm-up requests.
      dim, heads, top_k: d, H, K.
    """

    items: int = 50_000
    queries: int = 5_000
    length: int = 10_000
    candidates: int = 200
    dim: int = 64
    heads: int = 4
    top_k: int = 100


def exported(folder: Path, sizes: Sizes, tables: str, seed: int) -> Path:
    """A SavedModel of a random SEMINAR; one that is there already, of the same sizes, is taken as it is.

    Args:
      folder: for it and what says of what sizes it is.
      sizes: of the model.
      tables: `retrieval.tables`: float, fused or codes.
      seed: the same seed gives the same scores.

    Returns:
      The SavedModel's folder.
    """
    made = {**asdict(sizes), "tables": tables, "seed": seed}
    note, saved = folder / "made.json", folder / "model"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == made:
        return saved
    shutil.rmtree(folder, ignore_errors=True)
    vocabularies = {
        names.ITEM_VOCABULARY: [f"item{n}" for n in range(sizes.items)],
        names.QUERY_VOCABULARY: [f"query {n}" for n in range(sizes.queries)],
        names.TOKEN_VOCABULARY: ["query", "item"],
        names.ATTRIBUTE_VOCABULARY: [f"group={n}" for n in range(50)],
    }
    transform = write_vocabularies(folder / "transform", vocabularies)
    config = PipelineConfig(
        name="random",
        features=FeatureConfig(),
        model=ModelConfig(serving_history_length=sizes.length, top_k=sizes.top_k, dim=sizes.dim, heads=sizes.heads),
        retrieval=RetrievalConfig(tables=tables),
        serving=ServingConfig(warmup_candidates=tuple(sorted({1, sizes.candidates}))),
    )
    rows = feature_sizes(transform, config.features)
    model = served_seminar(rows, seed, config)
    counts = np.zeros(rows.items, np.int64)
    export_ranker(model, transform, config, TASKS, saved, item_count=counts)
    note.write_text(json.dumps(made), encoding="utf-8")
    return saved


def _batch() -> dict[str, np.ndarray]:
    """One user with one pair and one candidate."""
    one = np.ones((1, 1), np.int32)
    moment = np.array([1_700_000_000_000], np.int64)
    return {
        names.HISTORY_ITEM_ID: one,
        names.HISTORY_QUERY: one,
        names.HISTORY_TIMESTAMP: moment[np.newaxis] - 1_000,
        names.CANDIDATE_ITEM_ID: one,
        names.QUERY: one[0],
        names.REQUEST_TIMESTAMP: moment,
        names.USER_ATTRIBUTES: one,
    }
