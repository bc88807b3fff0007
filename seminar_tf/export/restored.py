"""A ranker from its own SavedModel: for components that take a trained model further."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seminar_tf.export.metadata import MetadataError, ModelMetadata
from seminar_tf.export.ranker_module import served_variables
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.rankers import is_seminar, make_ranker, reads_categories
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker

import tensorflow as tf  # isort: skip

_KEY = "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"


def restore_seminar(path: str | Path) -> Seminar:
    """`restore_ranker` for what is SEMINAR's alone.

    Raises:
      MetadataError: as `restore_ranker`, or the SavedModel holds another ranker.
    """
    model = ModelMetadata.load(path).model
    if not is_seminar(model):
        raise MetadataError(f"{path} holds the ranker {model.ranker}: this needs model.ranker seminar.")
    restored = restore_ranker(path)
    assert isinstance(restored, Seminar)
    return restored


def restore_ranker(path: str | Path) -> TableRanker:
    """Builds the model that a SavedModel was exported from, with its weights, to be called or exported again.

    Losses' weights and clipping, which only training reads, are the defaults.

    Args:
      path: SavedModel folder, written by `export_ranker`.

    Raises:
      MetadataError: the SavedModel is no ranker with float tables, or its weights are not those of its configuration.
    """
    metadata = ModelMetadata.load(path)
    config = metadata.model
    if not metadata.channels:
        raise MetadataError(f"{path} names no item channels: it is not a ranker with float tables.")
    sizes, modalities = metadata.sizes, len(metadata.channels)
    empty = ChannelTables(
        channels=metadata.channels,
        item=np.zeros((sizes.items, modalities, config.dim), np.float32),
        item_mask=np.zeros((sizes.items, modalities), bool),
        query=np.zeros((sizes.queries, config.dim), np.float32),
    )
    items = ItemFeatures.counted(np.isin(np.arange(sizes.items), metadata.catalog), metadata.item_count)
    categories = None
    if reads_categories(config):
        categories = np.zeros((sizes.items, metadata.categories), np.int64)
    model = make_ranker(
        config,
        sizes,
        metadata.tasks,
        empty,
        items,
        metadata.seed,
        retrieval=metadata.retrieval,
        categories=categories,
    )
    saved = tf.train.load_checkpoint(str(Path(path) / "variables" / "variables"))
    shapes = saved.get_variable_to_shape_map()
    count = sum(key.startswith("weights/") for key in shapes)
    wanted = served_variables(model)
    if count != len(wanted):
        raise MetadataError(f"{path} has {count} weights, its configuration makes {len(wanted)}.")
    for number, variable in enumerate(wanted):
        key = _KEY.format(number)
        if shapes.get(key) != variable.shape.as_list():
            raise MetadataError(
                f"{path}: weight {number} has shape {shapes.get(key)}, {variable.name} of its configuration has "
                f"{variable.shape.as_list()}."
            )
        variable.assign(saved.get_tensor(key))
    return model
