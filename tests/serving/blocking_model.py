"""A model whose call waits until the test lets it go: queues, deadlines and the end of a server are tested by events.

Its one signature writes to the named pipe whose path it is given, which blocks until somebody opens the other end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seminar_tf.features import names  # noqa: F401  (settles Keras 2 before TensorFlow loads)
from serving import codec, protos

import tensorflow as tf  # isort: skip


class _Blocking(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="path")])
    def wait(self, path):
        with tf.control_dependencies([tf.io.write_file(path[0], "x")]):
            return {"rows": tf.shape(path)}


def export(folder: Path) -> None:
    """Writes the SavedModel."""
    module = _Blocking()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.wait})


def request(pipe: Path, model: str = "blocking") -> bytes:
    """A Predict request that waits for `pipe`."""
    message = protos.PredictRequest()
    message.model_spec.name = model
    codec.encode([str(pipe)], message.inputs["path"])
    return message.SerializeToString()


def make_pipe(folder: Path) -> Path:
    """A named pipe that nobody has opened."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    return pipe


@contextmanager
def let_go(pipe: Path) -> Iterator[None]:
    """Calls that wait for `pipe` go on, and those that come inside the `with` do not wait."""
    # Open for both: a reader alone would itself wait for a writer.
    end = os.open(pipe, os.O_RDWR)
    try:
        yield
    finally:
        os.close(end)
