"""A ranker with its vocabularies, and the functions that become a SavedModel's signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from seminar_tf.config import PipelineConfig
from seminar_tf.export import checks, examples
from seminar_tf.export.inputs import (
    EMBED_SIGNATURE,
    EMBEDDING,
    EXAMPLES_INPUT,
    EXAMPLES_SIGNATURE,
    INDEXED,
    INDEXED_SIGNATURE,
    PAIR_POSITION,
    PAIR_WEIGHT,
    RAW_SIGNATURE,
    SCORE_PREFIX,
    SEARCH_SIGNATURE,
    SIGNATURES,
    XLA_SIGNATURE,
    Input,
)
from seminar_tf.export.request_ids import at_least_one_column, clean, cut_history, window
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.layers.distinct import static_shapes
from seminar_tf.models.table_ranker import TableRanker

import tensorflow as tf  # isort: skip

Tensors = dict[str, tf.Tensor]


class Ranker(Protocol):
    """What is exported: scores candidates of a batch (the batches of seminar_tf.training, see docs/model.md)."""

    @property
    def variables(self) -> list[tf.Variable]: ...

    def __call__(self, batch: Tensors, training: bool = False) -> Tensors: ...


def score_name(task: str) -> str:
    """Output name of a task's probabilities."""
    return SCORE_PREFIX + task


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
      attributes: the first so many of a user's attributes are seen, as in training (`features.max_attributes`).
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
        self.attributes = config.features.max_attributes
        self.tasks = tasks
        self._call: Callable[..., Tensors] = lambda batch: model(batch, training=False)
        # Behind lambdas: tf.Module would save them beside the signatures that call them, tracing each once more.
        compiled = tf.function(self._static, jit_compile=True, autograph=False)
        self._compiled: Callable[[Tensors], Tensors] = lambda batch: compiled(batch)
        # One trace for the signatures that differ in their inputs alone: tracing is most of an export's time.
        scored = tf.function(self._score, input_signature=[_specs(INDEXED)], autograph=False)
        self._scored: Callable[[Tensors], Tensors] = lambda batch: scored(batch)
        self._compiles = isinstance(model, TableRanker)
        # SEMINAR, and rivals that keep K pairs as it does.
        self._search = getattr(model, "search_history", None)
        # Behind a lambda, for Keras' traces: see `weights`.
        self._embed = (lambda items, queries: model.pairs(items, queries)) if isinstance(model, TableRanker) else None

    def signatures(self, only: Sequence[str] = ()) -> dict[str, Any]:
        """Signature name -> concrete function. `export.inputs` lists their inputs.

        Args:
          only: the wanted ones; empty takes all that this ranker has.

        Raises:
          ValueError: this ranker lacks one of them.
        """
        functions = self.functions()
        missing = [name for name in only if name not in functions]
        if missing:
            raise ValueError(f"config key serving.signatures: this ranker has {sorted(functions)}, not {missing}.")
        return {name: _concrete(functions[name], SIGNATURES[name]) for name in only or functions}

    def functions(self) -> dict[str, Callable[[Tensors], Tensors]]:
        """Signature name -> what it computes from its inputs: those that this ranker has."""
        found: dict[str, Callable[[Tensors], Tensors]] = {
            RAW_SIGNATURE: self._rank_raw,
            INDEXED_SIGNATURE: self._rank_indexed,
            EXAMPLES_SIGNATURE: self._rank_examples,
        }
        if self._compiles:
            found[XLA_SIGNATURE] = self._rank_compiled
        if self._search is not None:
            found[SEARCH_SIGNATURE] = self._search_history
        if self._embed is not None:
            found[EMBED_SIGNATURE] = self._embed_items
        return found

    def _static(self, batch: Tensors) -> Tensors:
        with static_shapes(True):
            return self._call(batch)

    def _rank_raw(self, inputs: Tensors) -> Tensors:
        """Strings to ids with the vocabularies of training, then as `rank_indexed`."""
        inputs = checks.request(inputs)
        # Cut first: a history of 10,000 pairs costs look-ups of the newest L only.
        history = cut_history(inputs, self.length, tf.not_equal(inputs[names.HISTORY_ITEM_ID], ""))
        return self._scored(
            {
                names.HISTORY_ITEM_ID: self.lookup.items(history[names.HISTORY_ITEM_ID]),
                names.HISTORY_QUERY: self.lookup.history_queries(
                    history[names.HISTORY_QUERY], history[names.HISTORY_ITEM_ID]
                ),
                names.HISTORY_TIMESTAMP: history[names.HISTORY_TIMESTAMP],
                names.CANDIDATE_ITEM_ID: self.lookup.items(inputs[names.CANDIDATE_ITEM_ID]),
                names.QUERY: self.lookup.queries(inputs[names.QUERY]),
                names.REQUEST_TIMESTAMP: inputs[names.REQUEST_TIMESTAMP],
                names.USER_ATTRIBUTES: self.lookup.attributes(inputs[names.USER_ATTRIBUTES][:, : self.attributes]),
            }
        )

    def _rank_examples(self, inputs: Tensors) -> Tensors:
        """Serialized tf.Example protos to padded strings, then as `serving_default`."""
        return self._rank_raw(examples.parse(inputs[EXAMPLES_INPUT]))

    def _rank_indexed(self, inputs: Tensors) -> Tensors:
        return self._scored(self._newest(inputs))

    def _rank_compiled(self, inputs: Tensors) -> Tensors:
        return self._score(self._newest(inputs), self._compiled)

    def _newest(self, inputs: Tensors) -> Tensors:
        """Inputs of ids, checked, with the newest L pairs of each history."""
        inputs = checks.request(inputs)
        return {**inputs, **cut_history(inputs, self.length, inputs[names.HISTORY_ITEM_ID] > 0)}

    def _search_history(self, inputs: Tensors) -> Tensors:
        """Positions in the given history of the pairs that the search keeps, -1 for none, and their weights."""
        assert self._search is not None
        batch, columns = self._prepared(self._newest(inputs))
        position, weight = self._search(batch)
        found = (position >= 0) & _over(batch[names.CANDIDATE_ITEM_ID] > 0, position)
        start = _over(window(inputs[names.HISTORY_ITEM_ID] > 0, self.length)[0][:, :1], position)
        return {
            PAIR_POSITION: tf.where(found, position + start, -1)[:, :columns],
            PAIR_WEIGHT: tf.where(found, weight, 0.0)[:, :columns],
        }

    def _embed_items(self, inputs: Tensors) -> Tensors:
        """x_pair of (item, query) pairs, [M, d]: what a candidate is to the search; zeros where there is no item."""
        assert self._embed is not None
        inputs = checks.rows(inputs, names.ITEM_ID)
        items = self.lookup.items(inputs[names.ITEM_ID])
        vectors = tf.cast(self._embed(items, self.lookup.queries(inputs[names.QUERY])), tf.float32)
        return {EMBEDDING: tf.where(items[:, tf.newaxis] > 0, vectors, 0.0)}

    def _prepared(self, batch: Tensors) -> tuple[Tensors, tf.Tensor]:
        """A batch that the model can take, and how many candidates it had."""
        batch = clean(batch, self.sizes)
        columns = tf.shape(batch[names.CANDIDATE_ITEM_ID])[1]
        # The model never sees an axis without elements: a reshape with -1 has no answer there.
        for name in (names.CANDIDATE_ITEM_ID, names.USER_ATTRIBUTES):
            batch[name] = at_least_one_column(batch[name])
        return batch, columns

    def _score(self, batch: Tensors, call: Callable[..., Tensors] | None = None) -> Tensors:
        """Probabilities (B, N) of a batch of ids; padding candidates get 0."""
        batch, columns = self._prepared(batch)
        logits = (call or self._call)(batch)
        real = batch[names.CANDIDATE_ITEM_ID] > 0
        scores = {}
        for task in self.tasks:
            probability = tf.sigmoid(tf.cast(logits[task], tf.float32))
            scores[score_name(task)] = tf.where(real, probability, 0.0)[:, :columns]
        return scores


def _specs(inputs: dict[str, Input]) -> dict[str, tf.TensorSpec]:
    """Inputs of any size, by name."""
    return {
        name: tf.TensorSpec([None] * len(given.shape), tf.as_dtype(given.dtype), name=name)
        for name, given in inputs.items()
    }


def _concrete(function: Callable[[Tensors], Tensors], inputs: dict[str, Input]) -> Any:
    """A concrete function whose arguments are named as the inputs."""
    # Nothing in a ranker is written for autograph, which would take most of the time of tracing.
    return tf.function(lambda **arguments: function(arguments), autograph=False).get_concrete_function(**_specs(inputs))


def _over(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """(B, n) -> a view that broadcasts over (B, N, .., K)."""
    return tf.reshape(x, tf.concat([tf.shape(x), tf.ones(len(like.shape) - 2, tf.int32)], axis=0))
