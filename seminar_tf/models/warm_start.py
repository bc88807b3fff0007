"""Weights of an earlier model under today's vocabularies: how training goes on from day to day.

Rows of items, queries, tokens and attributes are found by their names; what is new keeps its usual initialisation.
Weights that belong to no id are taken as they are. The optimizer begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.models.history_ranker import HistoryRanker
from seminar_tf.models.id_rows import UNKNOWN, IdSpace, carry_over, earlier_rows
from seminar_tf.models.psu import PSU
from seminar_tf.models.table_ranker import TableRanker

# Fields of ModelConfig that neither weights nor their order depend on (Keras lists those that train first).
_FREE = ("history_length", "serving_history_length", "top_k", "dropout")


class WarmStartError(ValueError):
    """An earlier model that training cannot go on from; the message names what differs."""


def differences(old: ModelConfig, new: ModelConfig) -> list[str]:
    """What of the architecture is not as it was, in words; empty where weights fit."""
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in dataclasses.fields(ModelConfig))
    return [f"model.{name} was {was!r} and is {now!r}" for name, was, now in pairs if name not in _FREE and was != now]


def psu_tables(model: PSU) -> dict[int, str]:
    """id() of each variable of a PSU that has a row an id -> its id space."""
    spaces = {id(model.token_embedding.embeddings): "tokens", id(model.query_encoder.ids.embeddings): "queries"}
    attributes = model.item_channels.attributes
    if attributes is not None:
        spaces[id(attributes.embedding.embeddings)] = "attributes"
        if attributes.ids is not None:
            spaces[id(attributes.ids.embeddings)] = "items"
    return spaces


def ranker_tables(model: TableRanker) -> dict[int, str]:
    """The same of a ranker."""
    spaces = {id(model.pairs.item_table): "items", id(model.pairs.query_table): "queries"}
    if isinstance(model, HistoryRanker):
        spaces[id(model.user_attributes.embeddings)] = "attributes"
    return spaces


def spaces_between(old: Mapping[str, IdSpace], new: Mapping[str, IdSpace]) -> dict[str, np.ndarray]:
    """`earlier_rows` of every id space."""
    return {name: earlier_rows(old[name], new[name]) for name in new}


def start_from(
    variables: Sequence[tf.Variable],
    earlier: Sequence[np.ndarray],
    tables: Mapping[int, str],
    rows: Mapping[str, np.ndarray],
) -> None:
    """Sets the trainable ones of a model's variables; others follow from the data or from pretraining.

    Args:
      variables: of the new model, initialised.
      earlier: values of the same variables in the earlier model, in the same order.
      tables: id() of the variables with a row an id -> id space.
      rows: id space -> `earlier_rows`.

    Raises:
      WarmStartError: another number of variables, or other shapes.
    """
    if len(variables) != len(earlier):
        raise WarmStartError(f"the earlier model has {len(earlier)} weights, this one {len(variables)}.")
    made = []
    for variable, value in zip(variables, earlier):
        if not variable.trainable:
            continue
        space, shape = tables.get(id(variable)), tuple(variable.shape)
        if not (value.shape == shape if space is None else value.shape[1:] == shape[1:]):
            raise WarmStartError(f"{variable.name} had shape {value.shape} and has {shape}.")
        made.append((variable, value if space is None else carry_over(value, variable.numpy(), rows[space])))
    for variable, value in made:
        variable.assign(value)


def start_ranker(
    model: TableRanker,
    variables: Sequence[tf.Variable],
    earlier: TableRanker,
    earlier_variables: Sequence[tf.Variable],
    rows: Mapping[str, np.ndarray],
) -> None:
    """Sets a ranker's trainable weights to those of an earlier one.

    Tables that train keep the rows of known ids as fine-tuned; frozen ones are today's PSU's. A channel that an item
    did not have before is today's PSU's too.

    Args:
      model: on today's tables. variables: its served variables.
      earlier: the earlier model. earlier_variables: its served variables.
      rows: id space -> `earlier_rows`.

    Raises:
      WarmStartError: other channels, or weights of other shapes.
    """
    was, now = tuple(earlier.pairs.channels), tuple(model.pairs.channels)
    if was != now:
        raise WarmStartError(f"item channels were {', '.join(was)} and are {', '.join(now)}.")
    today = model.pairs.item_table.numpy()
    start_from(variables, [variable.numpy() for variable in earlier_variables], ranker_tables(model), rows)
    if model.pairs.item_table.trainable:
        of_items = rows["items"]
        known = of_items != UNKNOWN
        had = np.zeros((len(of_items), len(now)), bool)
        had[known] = earlier.pairs.item_mask.numpy()[of_items[known]]
        merged = np.where((had | ~known[:, np.newaxis])[..., np.newaxis], model.pairs.item_table.numpy(), today)
        model.pairs.item_table.assign(merged)


def copy_weights(source: tf.keras.Model, target: tf.keras.Model, path: str) -> None:
    """Sets a model's variables, replicated or in shards, to those of the same model without a strategy.

    Args:
      source: in plain variables. target: under a strategy.
      path: prefix of a checkpoint to pass them through, where all of the target's devices can read it.
    """
    tf.train.Checkpoint(model=source).write(path)
    tf.train.Checkpoint(model=target).read(path).assert_existing_objects_matched().expect_partial()
