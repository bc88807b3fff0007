"""One version of a model in memory: a TensorFlow session, its signatures, and how to run one.

The v1 loader and a session are what TF Serving itself uses, so a SavedModel that runs here has gone through the same
door; a session was also faster than eager calls (2.3 ms against 3.1 ms a request, spec/serving.md).
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import prediction_log_pb2

from serving import codec, errors

_LOG = logging.getLogger(__name__)

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
INIT_SIGNATURE = "__saved_model_init_op"


class LoadedModel:
    """A SavedModel ready to answer; `run` may be called from many threads at once."""

    def __init__(self, name: str, version: int, path: Path, inter_op_threads: int) -> None:
        """Loads a SavedModel.

        Args:
          name: model name.
          version: version number.
          path: the version's folder.
          inter_op_threads: ops run at once; each on one core.

        Raises:
          OSError, ValueError, RuntimeError, tf.errors.OpError: TensorFlow cannot load it.
        """
        self.name = name
        self.version = version
        self.path = path
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=1,
            inter_op_parallelism_threads=inter_op_threads,
            # Sessions share one pool of threads otherwise, whose size the first one settles for the whole process.
            use_per_session_threads=True,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = {
            key: signature for key, signature in meta_graph.signature_def.items() if key != INIT_SIGNATURE
        }
        self._callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[np.ndarray]]] = {}
        self._lock = threading.Lock()

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> list[np.ndarray]:
        """Runs a signature.

        Args:
          signature: its key.
          inputs: every input of the signature, already checked against it (`serving.validation`).
          outputs: names of the wanted outputs.

        Returns:
          One array an output, in the order asked for.

        Raises:
          CallError: TensorFlow refused the values.
        """
        definition = self.signatures[signature]
        function = self._callable(signature, outputs)
        try:
            return function(*(inputs[name] for name in sorted(definition.inputs)))
        except tf.errors.OpError as error:
            raise errors.from_tensorflow(error.error_code, error.message) from error

    def _callable(self, signature: str, outputs: tuple[str, ...]) -> Callable[..., list[np.ndarray]]:
        """A prepared call; preparing it once saves the name look-ups of Session.run."""
        key = (signature, outputs)
        with self._lock:
            if key not in self._callables:
                definition = self.signatures[signature]
                graph = self._session.graph
                feeds = [graph.get_tensor_by_name(definition.inputs[name].name) for name in sorted(definition.inputs)]
                fetches = [graph.get_tensor_by_name(definition.outputs[name].name) for name in outputs]
                self._callables[key] = self._session.make_callable(fetches, feed_list=feeds)
            return self._callables[key]

    def warm_up(self) -> int:
        """Runs the model's warm-up requests, where it has any.

        Returns:
          How many ran.

        Raises:
          CallError: a request fails: then real ones would, too, and the version must not be published.
          tf.errors.OpError, CodecError: the file is damaged.
        """
        start = time.monotonic()
        ran = 0
        for request in self._warmup_requests():
            signature = request.model_spec.signature_name or "serving_default"
            if signature not in self.signatures:
                raise errors.invalid(f"{self.path / WARMUP_FILE}: no signature {signature!r} in the model.")
            inputs = {name: codec.decode(tensor) for name, tensor in request.inputs.items()}
            missing = set(self.signatures[signature].inputs) - set(inputs)
            if missing:
                raise errors.invalid(f"{self.path / WARMUP_FILE}: a request lacks inputs {sorted(missing)}.")
            self.run(signature, inputs, tuple(sorted(self.signatures[signature].outputs)))
            ran += 1
        _LOG.info(
            "%s version %d: %d warm-up requests in %.2f s", self.name, self.version, ran, time.monotonic() - start
        )
        return ran

    def _warmup_requests(self) -> Iterator[Any]:
        file = self.path / WARMUP_FILE
        if not file.exists():
            return
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record).predict_log.request

    def close(self) -> None:
        """Frees the session; no call may be running."""
        self._callables.clear()
        self._session.close()
        del self._session
        # A graph and its operations refer to each other. Left to itself, Python's collector comes round after several
        # versions, whose memory adds up meanwhile.
        gc.collect()
