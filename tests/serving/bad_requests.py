"""Requests that are wrong, and what the server must answer to each: one table for the tests and for the docs.

docs/bad-requests.md is written from it, and from what a server answers, by tests/serving/bad_requests_page.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np

from seminar_tf.features import names
from serving import protos
from tests.serving import fake_ranker as fake
from tests.serving.request_bytes import (
    INT32,
    INT64,
    STRING,
    good,
    message,
    predict,
    raw,
    rows,
    spec_only,
    tasks,
    tensor,
    truncated,
    unknown_rank,
)

from tensorflow_serving.apis import (  # isort: skip
    classification_pb2,
    get_model_metadata_pb2,
    model_management_pb2,
    regression_pb2,
)

Code = grpc.StatusCode
INVALID = Code.INVALID_ARGUMENT
_SERVICE = "/tensorflow.serving.PredictionService/"
_RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
MAX_INT64 = (1 << 63) - 1
# The requests are for version 5 of `ranker`.
LABELS = {"stable": 5, "canary": 6}
I32, I64 = np.int32, np.int64


@dataclass(frozen=True)
class Bad:
    """A request and its answer.

    Attributes:
      name: what is wrong with it.
      build: makes its bytes.
      code: the status it must get.
      message: regular expression of the message it must get; of a score, what the score is.
      method: the called method.
      timeout_s: its deadline.
      same_as: for requests that get scores: makes the request with the same scores, or None where any will do.
    """

    name: str
    build: Callable[[], bytes]
    code: grpc.StatusCode
    message: str
    method: str = protos.PREDICT
    timeout_s: float = 120.0
    same_as: Callable[[], bytes] | None = None


ITEMS, QUERIES, TIMES = names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP
CANDIDATES, QUERY, NOW, ATTRIBUTES = (
    names.CANDIDATE_ITEM_ID,
    names.QUERY,
    names.REQUEST_TIMESTAMP,
    names.USER_ATTRIBUTES,
)
_ones = np.ones
_LAST_ITEM = len(fake.ITEMS) + fake.CONFIG.features.item_oov_buckets
_NO_HISTORY = {ITEMS: np.zeros((1, 0), I32), QUERIES: np.zeros((1, 0), I32), TIMES: np.zeros((1, 0), I64)}


REFUSED: tuple[Bad, ...] = (
    # Which model
    Bad("no model name", predict(name=""), INVALID, "the request names no model"),
    Bad("unknown model", predict(name="other"), Code.NOT_FOUND, r"Servable not found for request: Latest\(other\)"),
    Bad("unknown version", predict(version=4), Code.NOT_FOUND, r"Specific\(ranker, 4\)"),
    Bad("negative version", predict(version=-1), Code.NOT_FOUND, r"Specific\(ranker, -1\)"),
    Bad("unknown label", predict(version_label="nightly"), INVALID, "Unrecognized servable version label"),
    Bad("label of a version that is not loaded", predict(version_label="canary"), Code.NOT_FOUND, r"\(ranker, 6\)"),
    Bad("unknown signature", predict(signature="x"), Code.FAILED_PRECONDITION, 'signature key "x" not found'),
    Bad(
        "the model's own init signature",
        predict(signature="__saved_model_init_op"),
        Code.FAILED_PRECONDITION,
        "not found",
    ),
    Bad("signature name of 1 MB", predict(signature="x" * (1 << 20)), Code.FAILED_PRECONDITION, r'"xxx.*\.\.\.$'),
    # Which inputs and outputs
    Bad("input missing", predict(drop=(QUERY,)), INVALID, "Missing but required: query"),
    Bad("input not known", predict({"quarry": _ones(1, I32)}), INVALID, "Sent extra: quarry"),
    Bad("no inputs", predict(drop=tuple(good())), INVALID, "Missing but required: candidate_item_id, hist"),
    Bad(
        "inputs of another signature",
        predict({names.USER_ID: ["u"]}, signature="rank_indexed"),
        INVALID,
        "Sent extra: user_id",
    ),
    Bad("unknown output", predict(outputs=["score_x"]), INVALID, 'output "score_x" not found'),
    Bad("an output twice", predict(outputs=["score_like"] * 2), INVALID, "names an output twice"),
    # Types
    Bad("int64 for int32 ids", predict({CANDIDATES: _ones((1, 5), I64)}), INVALID, "DT_INT64, exp"),
    Bad("strings for ids", predict({CANDIDATES: [["item1"]]}), INVALID, "dtype DT_STRING, expected DT_INT32"),
    Bad("ids for strings", raw({CANDIDATES: _ones((1, 5), I32)}), INVALID, "expected DT_STRING"),
    Bad("NaN timestamps", predict({TIMES: np.full((1, 6), np.nan)}), INVALID, "DT_DOUBLE, expected DT_INT64"),
    Bad("float timestamps", predict({TIMES: _ones((1, 6), np.float32)}), INVALID, "DT_FLOAT, expected"),
    Bad("int32 timestamps", predict({TIMES: _ones((1, 6), I32)}), INVALID, "DT_INT32, expected DT_INT64"),
    Bad("no dtype", predict({QUERY: tensor(0, [1])}), INVALID, "dtype DT_INVALID"),
    Bad("a dtype that does not exist", predict({QUERY: tensor(999, [1])}), INVALID, "dtype DT_999"),
    Bad("a reference dtype", predict({QUERY: tensor(103, [1])}), INVALID, "dtype DT_103"),
    # Shapes
    Bad("candidates of rank 1", predict({CANDIDATES: _ones(5, I32)}), INVALID, r"rank 1\), expected \["),
    Bad("candidates of rank 3", predict({CANDIDATES: _ones((1, 1, 5), I32)}), INVALID, r"\(rank 3\)"),
    Bad("a scalar query", predict({QUERY: I32(1)}), INVALID, r"shape \[\] \(rank 0\)"),
    Bad("unknown rank", predict({QUERY: unknown_rank()}), INVALID, "unknown rank"),
    Bad("no shape at all", predict({CANDIDATES: protos.TensorProto(dtype=3, int_val=[1])}), INVALID, "rank 0"),
    Bad("a negative dimension", predict({CANDIDATES: tensor(INT32, [1, -1])}), INVALID, "negative dim"),
    Bad("a dimension of 2^63 - 1", predict({QUERY: tensor(INT32, [MAX_INT64])}), INVALID, "at most 1024 a req"),
    Bad("0 rows of 2^62 columns", predict({CANDIDATES: tensor(INT32, [0, 1 << 62])}), INVALID, "at most 20000"),
    Bad("1,000 dimensions", predict({CANDIDATES: tensor(INT32, [1] * 1000)}), INVALID, r"shape \[1, 1"),
    Bad(
        "history_query of another width",
        predict({QUERIES: _ones((1, 5), I32)}),
        INVALID,
        "history_query must have the shape of history_item_id",
    ),
    Bad(
        "history_timestamp of another width",
        predict({TIMES: _ones((1, 7), I64)}),
        INVALID,
        "history_timestamp must have the shape of history_item_id",
    ),
    Bad("query of two rows", predict({QUERY: _ones(2, I32)}), INVALID, "query must have as many rows"),
    Bad(
        "candidates of two rows",
        predict({CANDIDATES: _ones((2, 5), I32)}),
        INVALID,
        "candidate_item_id must have as many rows",
    ),
    # Values
    Bad("too many values", predict({QUERY: tensor(INT32, [1], int_val=[1, 2])}), INVALID, "2 values do not fit"),
    Bad("half an integer", predict({QUERY: tensor(INT32, [1], tensor_content=b"ab")}), INVALID, "has 2 bytes"),
    Bad("more bytes than the shape", predict({QUERY: tensor(INT32, [1], tensor_content=b"a" * 8)}), INVALID, "has 8"),
    Bad("strings as raw bytes", raw({QUERY: tensor(STRING, [1], tensor_content=b"a")}), INVALID, "string_val"),
    # Limits
    Bad("1,000,000 candidates", predict({CANDIDATES: _ones((1, 10**6), I32)}), INVALID, "1000000 columns"),
    Bad("a history of 60,000", rows(1, 60_000, 5), INVALID, "60000 columns; this server accepts at most 50000"),
    Bad("2,000 rows", rows(2000, 3, 2), INVALID, "2000 rows; this server accepts at most 1024"),
    Bad("60 rows of 2,000 candidates", rows(60, 3, 2000), INVALID, "60 x 2000 scores"),
    Bad(
        "one value declared as 40 million",
        predict({TIMES: tensor(INT64, [1000, 40_000], int64_val=[1])}),
        INVALID,
        "too large; at most 8388608 elements",
    ),
    Bad("an item id of 1 MB", raw({CANDIDATES: [[b"x" * (1 << 20)]]}), INVALID, "string of 1048576 bytes"),
    Bad("a query of 5,000 bytes", raw({QUERY: [b"x" * 5000]}), INVALID, "string of 5000 bytes"),
    Bad("a message of 65 MiB", raw({names.USER_ID: [b"x" * (65 << 20)]}), Code.RESOURCE_EXHAUSTED, "larger than max"),
    # Bytes
    Bad("an empty message", lambda: b"", INVALID, "the request names no model"),
    Bad("a message cut short", truncated, Code.INTERNAL, "are no tensorflow.serving.PredictRequest"),
    Bad("bytes that are no protobuf", lambda: b"\xff" * 64, Code.INTERNAL, "the 64 bytes of the request are no"),
    Bad(
        "a model name that is not UTF-8",
        lambda: b"\x0a\x03\x0a\x01\xff",
        Code.INTERNAL,
        "are no tensorflow.serving.PredictR",
    ),
    # Calls
    Bad("a deadline that is over", predict(), Code.DEADLINE_EXCEEDED, "(?i)deadline", timeout_s=-1.0),
    Bad(
        "Classify",
        spec_only(classification_pb2.ClassificationRequest()),
        INVALID,
        "Call Predict instead",
        _SERVICE + "Classify",
    ),
    Bad("Regress", spec_only(regression_pb2.RegressionRequest()), INVALID, "Call Predict", _SERVICE + "Regress"),
    Bad("MultiInference of no task", tasks(), INVALID, "zero tasks", _SERVICE + "MultiInference"),
    Bad(
        "MultiInference of a classify task",
        tasks("tensorflow/serving/classify"),
        INVALID,
        "to be tensorflow/serving/classify",
        _SERVICE + "MultiInference",
    ),
    Bad(
        "MultiInference of a predict task",
        tasks("tensorflow/serving/predict"),
        Code.UNIMPLEMENTED,
        "Unsupported signature method_name",
        _SERVICE + "MultiInference",
    ),
    Bad(
        "metadata of no field",
        spec_only(get_model_metadata_pb2.GetModelMetadataRequest()),
        INVALID,
        "at least one metadata_field",
        _SERVICE + "GetModelMetadata",
    ),
    Bad(
        "a reload without models",
        message(model_management_pb2.ReloadConfigRequest()),
        INVALID,
        "expected a model_config_list",
        _RELOAD,
    ),
    Bad("a method that does not exist", lambda: b"", Code.UNIMPLEMENTED, "Method not found", _SERVICE + "Train"),
    Bad(
        "reflection",
        lambda: b"",
        Code.UNIMPLEMENTED,
        "Method not found",
        _REFLECTION,
    ),
)

SCORED: tuple[Bad, ...] = (
    Bad(
        "negative item ids",
        predict({CANDIDATES: np.array([[3, -5]], I32)}),
        Code.OK,
        "those of padding (id 0): 0.0",
        same_as=predict({CANDIDATES: np.array([[3, 0]], I32)}),
    ),
    Bad(
        "item ids above the table",
        predict({CANDIDATES: np.array([[3, 2**31 - 1]], I32)}),
        Code.OK,
        "those of the last hash bucket",
        same_as=predict({CANDIDATES: np.array([[3, _LAST_ITEM]], I32)}),
    ),
    Bad(
        "negative query id",
        predict({QUERY: np.array([-7], I32)}),
        Code.OK,
        "those of no query (id 1)",
        same_as=predict({QUERY: np.array([1], I32)}),
    ),
    Bad(
        "negative timestamps",
        predict({TIMES: np.full((1, 6), -(1 << 63), I64)}),
        Code.OK,
        "those of 1970",
        same_as=predict({TIMES: np.zeros((1, 6), I64)}),
    ),
    Bad(
        "a negative time of the request",
        predict({NOW: np.array([-5], I64)}),
        Code.OK,
        "those of 1970",
        same_as=predict({NOW: np.array([0], I64)}),
    ),
    Bad("a request in the year 292 million", predict({NOW: np.array([MAX_INT64], I64)}), Code.OK, "any, but a number"),
    Bad("pairs after the request", predict({TIMES: np.full((1, 6), MAX_INT64, I64)}), Code.OK, "any, but a number"),
    Bad("no history", predict(_NO_HISTORY), Code.OK, "those of a new user"),
    Bad("no candidates", predict({CANDIDATES: np.zeros((1, 0), I32)}), Code.OK, "none: an empty row"),
    Bad("no attributes", predict({ATTRIBUTES: np.zeros((1, 0), I32)}), Code.OK, "those of a user without attributes"),
    Bad("no row", rows(0, 3, 2), Code.OK, "none: no row"),
    Bad("numbers one by one", predict(packed=False), Code.OK, "the same as from raw bytes", same_as=predict()),
    Bad(
        "fewer values than the shape",
        predict({CANDIDATES: tensor(INT32, [1, 5], int_val=[4, 9])}),
        Code.OK,
        "the last value repeated, as in TensorFlow",
        same_as=predict({CANDIDATES: np.array([[4, 9, 9, 9, 9]], I32)}),
    ),
    Bad(
        "values in another type's field",
        predict({CANDIDATES: tensor(INT32, [1, 5], int64_val=[1, 2, 3, 4, 5])}),
        Code.OK,
        "zeros, as in TensorFlow: padding, 0.0",
        same_as=predict({CANDIDATES: np.zeros((1, 5), I32)}),
    ),
    Bad("an item id that is not UTF-8", raw({CANDIDATES: [[b"\xff\xfe", b"item1"]]}), Code.OK, "of a hash bucket"),
    Bad("an item id with a zero byte", raw({CANDIDATES: [[b"item1\x00", b"item1"]]}), Code.OK, "of a hash bucket"),
    Bad("the same request as raw strings", raw(), Code.OK, "those of the same ids", same_as=predict()),
)

ALL = REFUSED + SCORED
