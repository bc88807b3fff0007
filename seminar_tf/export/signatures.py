"""The exported ranker: a SavedModel whose signatures take raw strings or ids and give probabilities.

Only stock TensorFlow ops are in the graph, so TF Serving runs it as it is. docs/serving.md lists the signatures.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np

from seminar_tf.config import PipelineConfig
from seminar_tf.export import warmup
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.ranker_module import Ranker, RankerModule
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import feature_sizes, read_vocabulary
from seminar_tf.models.pair_table import PairTable

import tensorflow as tf  # isort: skip

_LOG = logging.getLogger(__name__)


def export_ranker(
    model: Ranker,
    transform_dir: str | Path,
    config: PipelineConfig,
    tasks: tuple[str, ...],
    out_dir: str | Path,
    item_count: np.ndarray,
) -> None:
    """Writes a model as a SavedModel with its signatures (`serving.signatures`), warm-up requests and metadata.

    Args:
      model: a built ranker; its call gives task -> logits (B, N).
      transform_dir: the TransformGraph artifact's folder, whose vocabularies the model was trained with.
      config: sizes, OOV buckets, serving settings.
      tasks: label tasks, in the order of the model's heads.
      out_dir: folder to write, replaced when it exists; it appears whole or not at all.
      item_count: (V,) int64, times each item is a pair of the train segments (`ItemFeatures.count`).

    Raises:
      ValueError: `serving.signatures` names one that the ranker has not.
    """
    sizes = feature_sizes(transform_dir, config.features)
    module = RankerModule(model, IdLookup(transform_dir, config.features), sizes, config, tasks)
    signatures = module.signatures(config.serving.signatures)
    target = Path(out_dir)
    staged = target.with_name(f".{target.name}.part-{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    # A server takes no gradients.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(staged), signatures=signatures, options=options)
    known_items = len(read_vocabulary(transform_dir, names.ITEM_VOCABULARY))
    ModelMetadata(
        history_length=config.model.history_length,
        known_items=known_items,
        sizes=sizes,
        tasks=tasks,
        evaluation=config.evaluation,
        seed=config.seed,
        item_count=item_count,
        model=config.model,
        channels=_table_channels(model),
        retrieval=config.retrieval,
        categories=_category_columns(model),
    ).save(staged)
    warmup.write(staged, config, sizes, read_vocabulary(transform_dir, names.ITEM_VOCABULARY), tuple(signatures))
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staged, target)
    _LOG.info("exported %s with signatures %s", target, ", ".join(sorted(signatures)))


def _table_channels(model: Ranker) -> tuple[str, ...]:
    """Item channels of the model's float tables; none where it has no such tables, or others in their place."""
    pairs = getattr(model, "pairs", None)
    return tuple(pairs.channels) if isinstance(pairs, PairTable) else ()


def _category_columns(model: Ranker) -> int:
    """Columns of the item categories that the model holds, 0 for none."""
    categories = getattr(model, "categories", None)
    return 0 if categories is None else int(categories.columns)
