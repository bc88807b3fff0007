"""Skew between training and serving: the same users' logs down both roads must give the same features and scores.

The training road is what Transform wrote, cut into requests as the Evaluator does. The serving road begins at the raw
tables: events go into a store of histories one by one, the gateway makes its inputs of what the store gives back, and
the exported model turns strings into ids with the vocabularies that it carries.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seminar_tf.config import FeatureConfig
from seminar_tf.evaluation.requests import Request
from seminar_tf.export.examples import examples_inputs
from seminar_tf.export.inputs import EXAMPLES_SIGNATURE, INDEXED_SIGNATURE, RAW_SIGNATURE, RankRequest
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import read_entries
from seminar_tf.models.id_rows import read_spaces
from seminar_tf.training.requests import load_requests, load_users
from serving.gateway import ranker
from serving.gateway.events import Event, History
from serving.gateway.options import GatewayOptions
from serving.gateway.sqlite_store import SQLiteStore
from serving.gateway.store import HistoryStore
from serving.gateway.validation import Ranking
from serving.raw_users import RawUsers, read_users

import tensorflow as tf  # isort: skip

_CANDIDATES = 20
# Scores of one model on one set of ids differ by the order of sums alone.
_TOLERANCE = 1e-5


@dataclass
class Skew:
    """What was compared and what differs.

    Attributes:
      requests: compared.
      differing: feature -> requests in which it differs; `score_<task>` beside the features.
      examples: one sentence for the first request in which each differs.
    """

    requests: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def note(self, feature: str, request: Request, training: object, serving: object) -> None:
        """Counts a difference."""
        self.differing[feature] += 1
        self.examples.setdefault(feature, f"{request.name}: training has {training}, serving has {serving}")


def check_skew(
    model: str | Path,
    files: Mapping[str, Sequence[str]],
    path: str | Path,
    span: int,
    requests: int,
    seed: int = 0,
    oldest_ms: int = 0,
) -> Skew:
    """Takes a sample of test requests down both roads.

    Args:
      model: SavedModel folder of a ranker.
      files: split -> files that Transform wrote with the vocabularies that the model was trained with.
      path: dataset folder. span: up to which those files were made.
      requests: about how many; whole users are drawn.
      seed: of the sample and of the candidates.
      oldest_ms: events before this moment were erased at ingestion, ms since 1970; 0 for none.

    Returns:
      What differs. The request's own query is compared where the vocabulary knows it; histories' queries always are.
    """
    metadata = ModelMetadata.load(model)
    tasks = metadata.tasks
    users = load_users(files, "test", tasks, requests, seed)
    sample = load_requests(users, tasks.index(metadata.primary_task), metadata.history_length)
    raw = read_users(path, span, {request.user.decode("utf-8") for request in sample}, oldest_ms)
    loaded = tf.saved_model.load(str(model))
    assets = Path(model) / "assets"
    items = read_entries(assets / names.ITEM_VOCABULARY)
    queries = read_entries(assets / names.QUERY_VOCABULARY)
    drawn = np.random.default_rng(seed).choice(len(items), min(_CANDIDATES, len(items)), replace=False)
    found = Skew()
    with (
        _lookup(model, metadata) as lookup,
        tempfile.TemporaryDirectory() as folder,
        SQLiteStore(Path(folder) / "histories.db", synchronous="NORMAL") as store,
    ):
        for number, request in enumerate(sample):
            found.requests += 1
            user = request.user.decode("utf-8")
            # A user of the store's own for each request: it knows what had happened by then, and nothing more.
            history = _replay(store, f"{number}", raw, request, metadata.history_length)
            place = request.request_query - names.FIRST_QUERY_ID
            known = 0 <= place < len(queries)
            asked = Ranking(
                user_id=user,
                user_bytes=request.user,
                query=queries[place].encode("utf-8") if known else b"",
                candidates=[items[n].encode("utf-8") for n in drawn.tolist()],
                attributes=[text.encode("utf-8") for text in raw.attributes.get(user, ())],
                timestamp=request.request_timestamp,
                top=0,
                task="",
            )
            served = ranker.inputs(asked, history, GatewayOptions())
            trained = _training_batch(request, drawn, known)
            _compare_features(found, request, trained, served, lookup)
            _compare_scores(found, request, trained, served, asked, history, loaded)
    return found


def _tensor(value: np.ndarray) -> tf.Tensor:
    # Of an array of no strings TensorFlow would not know that they are strings.
    return tf.constant(value, tf.string if value.dtype == np.object_ else None)


@contextmanager
def _lookup(model: str | Path, metadata: ModelMetadata) -> Iterator[IdLookup]:
    """The model's own vocabularies as its graph looks them up."""
    spaces = read_spaces(Path(model) / "assets", metadata.sizes)
    config = FeatureConfig(
        item_oov_buckets=spaces["items"].buckets,
        query_oov_buckets=spaces["queries"].buckets,
        token_oov_buckets=spaces["tokens"].buckets,
        attribute_oov_buckets=spaces["attributes"].buckets,
    )
    with tempfile.TemporaryDirectory() as folder:
        # IdLookup reads a TransformGraph's layout.
        (Path(folder) / "transform_fn").mkdir()
        (Path(folder) / "transform_fn" / "assets").symlink_to((Path(model) / "assets").resolve())
        yield IdLookup(folder, config)


def _replay(store: HistoryStore, key: str, raw: RawUsers, request: Request, length: int) -> History:
    """What the store gives of a user after the events that the request sees came in, the later half first."""
    rows = raw.events[request.user.decode("utf-8")][: request.position]
    events = [Event(f"{n:08d}", item, query, moment) for n, (moment, item, query) in enumerate(rows)]
    half = len(events) // 2
    store.append(key, events[half:])
    store.append(key, events[:half])
    return store.history(key, length)


def _training_batch(request: Request, drawn: np.ndarray, known: bool) -> dict[str, np.ndarray]:
    """The request as a batch of one, in Transform's ids, with drawn candidates."""
    return {
        names.HISTORY_ITEM_ID: request.item[np.newaxis].astype(np.int32),
        names.HISTORY_QUERY: request.query[np.newaxis].astype(np.int32),
        names.HISTORY_TIMESTAMP: request.timestamp[np.newaxis].astype(np.int64),
        names.CANDIDATE_ITEM_ID: (drawn + names.FIRST_ITEM_ID)[np.newaxis].astype(np.int32),
        names.QUERY: np.array([request.request_query if known else names.EMPTY_QUERY_ID], np.int32),
        names.REQUEST_TIMESTAMP: np.array([request.request_timestamp], np.int64),
        names.USER_ATTRIBUTES: request.user_attributes[np.newaxis].astype(np.int32),
    }


def _compare_features(
    found: Skew, request: Request, trained: dict[str, np.ndarray], served: dict[str, np.ndarray], lookup: IdLookup
) -> None:
    items = _tensor(served[names.HISTORY_ITEM_ID])
    ids = {
        names.HISTORY_ITEM_ID: lookup.items(items).numpy(),
        names.HISTORY_QUERY: lookup.history_queries(_tensor(served[names.HISTORY_QUERY]), items).numpy(),
        names.HISTORY_TIMESTAMP: served[names.HISTORY_TIMESTAMP],
        names.CANDIDATE_ITEM_ID: lookup.items(_tensor(served[names.CANDIDATE_ITEM_ID])).numpy(),
        names.QUERY: lookup.queries(_tensor(served[names.QUERY])).numpy(),
        names.REQUEST_TIMESTAMP: served[names.REQUEST_TIMESTAMP],
        names.USER_ATTRIBUTES: lookup.attributes(_tensor(served[names.USER_ATTRIBUTES])).numpy(),
    }
    for name, expected in trained.items():
        # Padding is nothing: a user without attributes has none, however many zeros stand for them.
        one, other = (value[value != 0] if name == names.USER_ATTRIBUTES else value for value in (expected, ids[name]))
        if not np.array_equal(one, other):
            found.note(name, request, *_around(one, other))


def _around(one: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    """Both, in words: their lengths, or what stands where they begin to differ."""
    if one.shape != other.shape:
        return f"{one.size} values", f"{other.size}"
    place = int(np.flatnonzero(one.reshape(-1) != other.reshape(-1))[0])
    return f"{one.reshape(-1)[place]} at {place}", f"{other.reshape(-1)[place]}"


def _compare_scores(
    found: Skew,
    request: Request,
    trained: dict[str, np.ndarray],
    served: dict[str, np.ndarray],
    asked: Ranking,
    history: History,
    loaded: tf.Module,
) -> None:
    pairs = zip(history.item_ids, history.queries, history.timestamps.tolist())
    example = examples_inputs(
        [
            RankRequest(
                history=[(item.decode("utf-8"), query.decode("utf-8"), moment) for item, query, moment in pairs],
                candidates=[item.decode("utf-8") for item in asked.candidates],
                timestamp=asked.timestamp,
                query=asked.query.decode("utf-8"),
                user_id=asked.user_id,
                user_attributes=[text.decode("utf-8") for text in asked.attributes],
            )
        ]
    )
    roads = {INDEXED_SIGNATURE: trained, RAW_SIGNATURE: served, EXAMPLES_SIGNATURE: example}
    scores = {
        name: {
            task: value.numpy()
            for task, value in loaded.signatures[name](**{key: _tensor(array) for key, array in inputs.items()}).items()
        }
        for name, inputs in roads.items()
    }
    for task, expected in scores[INDEXED_SIGNATURE].items():
        for name in (RAW_SIGNATURE, EXAMPLES_SIGNATURE):
            if not np.allclose(expected, scores[name][task], rtol=_TOLERANCE, atol=_TOLERANCE):
                largest = float(np.abs(expected - scores[name][task]).max())
                found.note(task, request, "its scores", f"others by up to {largest:.3g} ({name})")
                break
