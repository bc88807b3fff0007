"""The one Transform of segments, catalog and queries: strings become ids of shared vocabularies, 0 is padding.

Vocabularies come from the catalog, the queries and the users' attributes alone, never from histories: that is cheap,
and nothing of an eval or test segment can leak into an id. Every output is sparse; an example of one split has the
other splits' features empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf
import tensorflow_transform as tft

from seminar_tf.config import FeatureConfig
from seminar_tf.config_io import from_json, to_json
from seminar_tf.features import names, text

_CONFIG = "features"
_PASSED_ON = (
    names.USER_ID,
    names.SPAN,
    names.SPLIT,
    names.SEGMENT_START,
    names.HISTORY_TIMESTAMP,
    names.TARGET_POSITION,
    names.TARGET_TIMESTAMP,
    names.TARGET_REQUEST,
    names.ITEM_IMAGE,
    names.ITEM_IMAGE_VECTOR,
    names.ITEM_TEXT_VECTOR,
    names.ITEM_COUNT,
    names.QUERY_COUNT,
)


def custom_config(features: FeatureConfig) -> dict[str, str]:
    """The Transform component's `custom_config`."""
    return {_CONFIG: to_json(features)}


def preprocessing_fn(
    inputs: Mapping[str, tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.SparseTensor]:
    """Transforms a batch of raw examples of any split.

    Args:
      inputs: every raw feature, sparse (batch, None).
      custom_config: what `custom_config` makes.

    Returns:
      Features of the same names, sparse (batch, None); `item_tokens` and `query_tokens` are new, titles and texts gone.
    """
    config = from_json(FeatureConfig, custom_config[_CONFIG])
    outputs = {name: inputs[name] for name in _PASSED_ON}
    outputs |= {name: value for name, value in inputs.items() if name.startswith(names.LABEL_PREFIX)}
    for name, value in inputs.items():
        if name.startswith(names.ITEM_NUMERIC_PREFIX):
            outputs[name] = standardise(value)
    return (
        outputs
        | _items(inputs, config)
        | _queries(inputs, config)
        | _attributes(inputs, config)
        | _tokens(inputs, config)
    )


def _items(inputs: Mapping[str, tf.SparseTensor], config: FeatureConfig) -> dict[str, tf.SparseTensor]:
    # Items of a catalog batch have one id and one count each, in the same order. Adding 1 keeps what train never saw.
    vocabulary = tft.vocabulary(
        inputs[names.ITEM_ID].values,
        weights=tf.cast(inputs[names.ITEM_COUNT].values, tf.float32) + 1.0,
        top_k=config.max_item_vocabulary,
        vocab_filename=names.ITEM_VOCABULARY,
    )
    return {
        name: _shift(tft.apply_vocabulary(inputs[name], vocabulary, num_oov_buckets=config.item_oov_buckets))
        for name in (names.ITEM_ID, names.HISTORY_ITEM_ID, names.TARGET_ITEM_ID)
    }


def _queries(inputs: Mapping[str, tf.SparseTensor], config: FeatureConfig) -> dict[str, tf.SparseTensor]:
    vocabulary = tft.vocabulary(
        inputs[names.QUERY].values,
        weights=tf.cast(inputs[names.QUERY_COUNT].values, tf.float32),
        top_k=config.max_query_vocabulary,
        vocab_filename=names.QUERY_VOCABULARY,
    )
    made = {}
    for name in (names.QUERY, names.HISTORY_QUERY, names.TARGET_QUERY):
        known = tft.apply_vocabulary(inputs[name], vocabulary, num_oov_buckets=config.query_oov_buckets)
        empty = tf.equal(inputs[name].values, "")
        made[name] = known.with_values(
            tf.where(empty, tf.cast(names.EMPTY_QUERY_ID, tf.int64), known.values + names.FIRST_QUERY_ID)
        )
    return made


def _attributes(inputs: Mapping[str, tf.SparseTensor], config: FeatureConfig) -> dict[str, tf.SparseTensor]:
    found = (names.ITEM_ATTRIBUTES, names.USER_ATTRIBUTES)
    vocabulary = tft.vocabulary(
        tf.concat([inputs[name].values for name in found], axis=0),
        top_k=config.max_attribute_vocabulary,
        vocab_filename=names.ATTRIBUTE_VOCABULARY,
    )
    return {
        name: _shift(
            tft.apply_vocabulary(
                _keep_first(inputs[name], config.max_attributes),
                vocabulary,
                num_oov_buckets=config.attribute_oov_buckets,
            )
        )
        for name in found
    }


def _tokens(inputs: Mapping[str, tf.SparseTensor], config: FeatureConfig) -> dict[str, tf.SparseTensor]:
    """Tokens of items, of title then text, and of queries, over one vocabulary."""
    title = _joined(inputs[names.ITEM_TITLE])
    words = {
        names.ITEM_TOKENS: text.tokens(tf.strings.join([title, _joined(inputs[names.ITEM_TEXT])], separator=" "))[
            :, : config.max_title_tokens
        ],
        names.QUERY_TOKENS: text.tokens(_joined(inputs[names.QUERY]))[:, : config.max_query_tokens],
    }
    vocabulary = tft.vocabulary(
        tf.concat([ragged.flat_values for ragged in words.values()], axis=0),
        top_k=config.max_token_vocabulary,
        vocab_filename=names.TOKEN_VOCABULARY,
    )
    return {
        name: _shift(tft.apply_vocabulary(ragged.to_sparse(), vocabulary, num_oov_buckets=config.token_oov_buckets))
        for name, ragged in words.items()
    }


def _shift(ids: tf.SparseTensor) -> tf.SparseTensor:
    """Leaves 0 to padding."""
    return ids.with_values(ids.values + names.FIRST_ITEM_ID)


def _joined(strings: tf.SparseTensor) -> tf.Tensor:
    """(batch,) the one string of each row, empty where it has none."""
    dense = tf.sparse.to_dense(strings, default_value="")
    return tf.strings.reduce_join(dense, axis=1, separator=" ")


def _keep_first(values: tf.SparseTensor, most: int) -> tf.SparseTensor:
    """The first `most` values of each row."""
    return tf.sparse.retain(values, values.indices[:, 1] < most)


def standardise(values: tf.SparseTensor) -> tf.SparseTensor:
    """Scales to zero mean and unit variance over the items that have the number; only catalog examples do.

    Args:
      values: sparse (batch, None) float32.

    Returns:
      The same, scaled: (x - mean) / standard deviation, or 0 for a column that is all alike.
    """
    # Beam sizes its batches by the clock, and sums of floats depend on how they are cut. In float64 the difference
    # vanishes when the result is rounded to float32: equal data gives equal bits.
    exact = tf.cast(values.values, tf.float64)
    mean = tf.cast(tft.mean(exact), tf.float32)
    deviation = tf.cast(tf.sqrt(tft.var(exact)), tf.float32)
    return values.with_values(tf.math.divide_no_nan(values.values - mean, deviation))
