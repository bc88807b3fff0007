"""The exported ranker: a SavedModel whose signatures take raw strings or ids and give probabilities.

Only stock TensorFlow ops are in the graph, so TF Serving runs it as it is. docs/serving.md lists the signatures.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seminar_tf.config import PipelineConfig
from seminar_tf.export import warmup
from seminar_tf.export.inputs import (
    INDEXED,
    INDEXED_SIGNATURE,
    PAIR_POSITION,
    PAIR_WEIGHT,
    RAW,
    RAW_SIGNATURE,
    SCORE_PREFIX,
    SEARCH_SIGNATURE,
    XLA_SIGNATURE,
    Input,
)
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.request_ids import at_least_one_column, clean, cut_history, window
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import FeatureSizes, feature_sizes, read_vocabulary
from seminar_tf.layers.distinct import static_shapes
from seminar_tf.models.pair_table import PairTable
from seminar_tf.models.seminar import Seminar

import tensorflow as tf  # isort: skip

_LOG = logging.getLogger(__name__)

Scores = dict[str, tf.Tensor]


class Ranker(Protocol):
    """What is exported: scores candidates of a batch (the batches of seminar_tf.training, see docs/model.md)."""

    @property
    def variables(self) -> list[tf.Variable]: ...

    def __call__(self, batch: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]: ...


def score_name(task: str) -> str:
    """Output name of a task's probabilities."""
    return SCORE_PREFIX + task


def export_ranker(
    model: Ranker,
    transform_dir: str | Path,
    config: PipelineConfig,
    tasks: tuple[str, ...],
    out_dir: str | Path,
    item_count: np.ndarray,
) -> None:
    """Writes a model as a SavedModel with its signatures, warm-up requests and metadata.

    Args:
      model: a built ranker; its call gives task -> logits (B, N).
      transform_dir: the TransformGraph artifact's folder, whose vocabularies the model was trained with.
      config: sizes, OOV buckets, serving settings.
      tasks: label tasks, in the order of the model's heads.
      out_dir: folder to write, replaced when it exists; it appears whole or not at all.
      item_count: (V,) int64, times each item is a pair of the train segments (`ItemFeatures.count`).
    """
    sizes = feature_sizes(transform_dir, config.features)
    module = RankerModule(model, IdLookup(transform_dir, config.features), sizes, config, tasks)
    signatures = module.signatures()
    target = Path(out_dir)
    staged = target.with_name(f".{target.name}.part-{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    tf.saved_model.save(module, str(staged), signatures=signatures)
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
    ).save(staged)
    warmup.write(staged, config, sizes, read_vocabulary(transform_dir, names.ITEM_VOCABULARY))
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staged, target)
    _LOG.info("exported %s with signatures %s", target, ", ".join(sorted(signatures)))


def _table_channels(model: Ranker) -> tuple[str, ...]:
    """Item channels of the model's float tables; none where it has no such tables, or others in their place."""
    pairs = getattr(model, "pairs", None)
    return tuple(pairs.channels) if isinstance(pairs, PairTable) else ()


def served_variables(model: Ranker) -> list[tf.Variable]:
    """A ranker's variables, in order, without those of the metrics of its training."""
    counters = {id(v) for metric in getattr(model, "metrics", ()) for v in metric.variables}
    return [v for v in model.variables if id(v) not in counters]


class RankerModule(tf.Module):
    """A ranker with its vocabularies, and the functions that become signatures.

    Attributes:
      lookup: the vocabularies, saved as assets.
      weights: the model's variables but its metrics'. They are tracked instead of the model: Keras would write traces
        of its own beside the signatures, which nobody calls.
      sizes: rows of the id spaces.
      length: L, newest pairs of a history that the model sees.
      tasks: label tasks.
    """

    def __init__(
        self, model: Ranker, lookup: IdLookup, sizes: FeatureSizes, config: PipelineConfig, tasks: tuple[str, ...]
    ) -> None:
        super().__init__(name="ranker")
        self.lookup = lookup
        self.weights = served_variables(model)
        self.sizes = sizes
        self.length = config.model.serving_history_length
        self.tasks = tasks
        self._call: Callable[..., dict[str, tf.Tensor]] = lambda batch: model(batch, training=False)
        self._compiled = tf.function(self._static, jit_compile=True, autograph=False)
        self._search = model.search_history if isinstance(model, Seminar) else None

    def signatures(self) -> dict[str, Any]:
        """Signature name -> concrete function. `export.inputs` lists their inputs."""
        found = {
            RAW_SIGNATURE: _concrete(self._rank_raw, RAW),
            INDEXED_SIGNATURE: _concrete(self._rank_indexed, INDEXED),
        }
        if self._search is not None:
            found[XLA_SIGNATURE] = _concrete(self._rank_compiled, INDEXED)
            found[SEARCH_SIGNATURE] = _concrete(self._search_history, INDEXED)
        return found

    def _static(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with static_shapes(True):
            return self._call(batch)

    def _rank_raw(self, inputs: dict[str, tf.Tensor]) -> Scores:
        """Strings to ids with the vocabularies of training, then as `rank_indexed`."""
        # Cut first: a history of 10,000 pairs costs look-ups of the newest L only.
        history = cut_history(inputs, self.length, tf.not_equal(inputs[names.HISTORY_ITEM_ID], ""))
        return self._score(
            {
                **history,
                names.HISTORY_ITEM_ID: self.lookup.items(history[names.HISTORY_ITEM_ID]),
                names.HISTORY_QUERY: self.lookup.history_queries(
                    history[names.HISTORY_QUERY], history[names.HISTORY_ITEM_ID]
                ),
                names.CANDIDATE_ITEM_ID: self.lookup.items(inputs[names.CANDIDATE_ITEM_ID]),
                names.QUERY: self.lookup.queries(inputs[names.QUERY]),
                names.USER_ATTRIBUTES: self.lookup.attributes(inputs[names.USER_ATTRIBUTES]),
                names.REQUEST_TIMESTAMP: inputs[names.REQUEST_TIMESTAMP],
            }
        )

    def _rank_indexed(self, inputs: dict[str, tf.Tensor]) -> Scores:
        history = cut_history(inputs, self.length, inputs[names.HISTORY_ITEM_ID] > 0)
        return self._score({**inputs, **history})

    def _rank_compiled(self, inputs: dict[str, tf.Tensor]) -> Scores:
        history = cut_history(inputs, self.length, inputs[names.HISTORY_ITEM_ID] > 0)
        return self._score({**inputs, **history}, self._compiled)

    def _search_history(self, inputs: dict[str, tf.Tensor]) -> Scores:
        """Positions in the given history of the pairs that the search keeps, -1 for none, and their weights."""
        assert self._search is not None
        real = inputs[names.HISTORY_ITEM_ID] > 0
        batch, columns = self._prepared({**inputs, **cut_history(inputs, self.length, real)})
        position, weight = self._search(batch)
        found = (position >= 0) & _over(batch[names.CANDIDATE_ITEM_ID] > 0, position)
        start = _over(window(real, self.length)[0][:, :1], position)
        return {
            PAIR_POSITION: tf.where(found, position + start, -1)[:, :columns],
            PAIR_WEIGHT: tf.where(found, weight, 0.0)[:, :columns],
        }

    def _prepared(self, batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A batch that the model can take, and how many candidates it had."""
        batch = clean(batch, self.sizes)
        columns = tf.shape(batch[names.CANDIDATE_ITEM_ID])[1]
        # The model never sees an axis without elements: a reshape with -1 has no answer there.
        for name in (names.CANDIDATE_ITEM_ID, names.USER_ATTRIBUTES):
            batch[name] = at_least_one_column(batch[name])
        return batch, columns

    def _score(self, batch: dict[str, tf.Tensor], call: Callable[..., dict[str, tf.Tensor]] | None = None) -> Scores:
        """Probabilities (B, N) of a batch of ids; padding candidates get 0."""
        batch, columns = self._prepared(batch)
        logits = (call or self._call)(batch)
        real = batch[names.CANDIDATE_ITEM_ID] > 0
        scores = {}
        for task in self.tasks:
            probability = tf.sigmoid(tf.cast(logits[task], tf.float32))
            scores[score_name(task)] = tf.where(real, probability, 0.0)[:, :columns]
        return scores


def _concrete(function: Callable[[dict[str, tf.Tensor]], Scores], inputs: dict[str, Input]) -> Any:
    """A concrete function whose arguments are named as the inputs."""
    specs = {
        name: tf.TensorSpec([None] * len(given.shape), tf.as_dtype(given.dtype), name=name)
        for name, given in inputs.items()
    }
    # Nothing in a ranker is written for autograph, which would take most of the time of tracing.
    return tf.function(lambda **arguments: function(_checked(arguments)), autograph=False).get_concrete_function(
        **specs
    )


def _checked(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Checks what a SignatureDef cannot say: shapes of the inputs that belong together."""
    items = inputs[names.HISTORY_ITEM_ID]
    rows = tf.shape(items)[0]
    checks = []
    for name in (names.HISTORY_QUERY, names.HISTORY_TIMESTAMP):
        same = tf.reduce_all(tf.equal(tf.shape(inputs[name]), tf.shape(items)))
        checks.append(
            tf.debugging.Assert(
                same,
                [f"{name} must have the shape of {names.HISTORY_ITEM_ID}:", tf.shape(inputs[name]), tf.shape(items)],
            )
        )
    for name, tensor in inputs.items():
        same = tf.equal(tf.shape(tensor)[0], rows)
        message = f"{name} must have as many rows as {names.HISTORY_ITEM_ID}:"
        checks.append(tf.debugging.Assert(same, [message, tf.shape(tensor)[0], rows]))
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}


def _over(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """(B, n) -> a view that broadcasts over (B, N, .., K)."""
    return tf.reshape(x, tf.concat([tf.shape(x), tf.ones(len(like.shape) - 2, tf.int32)], axis=0))
