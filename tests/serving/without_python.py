"""Builds tests/serving/load_saved_model.cc against the installed TensorFlow, and runs signatures with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

import tensorflow as tf  # isort: skip
from tensorflow.core.framework import node_def_pb2

SOURCE = Path(__file__).with_name("load_saved_model.cc")


def build(folder: Path) -> Path:
    """Compiles the program.

    Args:
      folder: where it is put.

    Returns:
      The program.

    Raises:
      RuntimeError: there is no compiler, or it fails.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise RuntimeError(
            "no g++ on PATH: the exported model is checked by a C++ program, which cannot be built. Install g++ "
            "(Debian and Ubuntu: apt-get install g++) and run the tests again."
        )
    library = tf.sysconfig.get_lib()
    program = folder / "load_saved_model"
    # The program itself does little: it need not be fast, and without -O it is built in half the time. -w, because
    # TensorFlow's own headers warn.
    flags = ["-O0", "-w", *tf.sysconfig.get_compile_flags()]
    # Sessions and kernels are in the library of C++, of which the program calls nothing by name: it is linked all the
    # same, and before the other. The libraries come after the source, which needs them.
    links = [f"-L{library}", "-Wl,--no-as-needed", "-l:libtensorflow_cc.so.2", *tf.sysconfig.get_link_flags()]
    command = [compiler, *flags, str(SOURCE), "-o", str(program), *links, f"-Wl,-rpath,{library}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise RuntimeError(f"g++ could not build {SOURCE.name}:\n{done.stderr[-4000:]}")
    return program


def run(
    program: Path, saved_model: Path, requests: Sequence[tuple[str, Mapping[str, np.ndarray]]], folder: Path
) -> list[node_def_pb2.NodeDef]:
    """Loads a SavedModel in the program and runs requests in their order.

    Args:
      program: what `build` made.
      saved_model: the model's folder.
      requests: signature and inputs of each.
      folder: for the files of requests and responses.

    Returns:
      For each request a NodeDef: outputs are its attributes, the status is its `op`, the message its `name`.

    Raises:
      RuntimeError: the model does not load, or the program crashes.
    """
    asked, answered = folder / "requests.tfrecord", folder / "responses.tfrecord"
    with tf.io.TFRecordWriter(str(asked)) as writer:
        for signature, arrays in requests:
            message = node_def_pb2.NodeDef(op=signature)
            for name, array in arrays.items():
                message.attr[name].tensor.CopyFrom(tf.make_tensor_proto(array))
            writer.write(message.SerializeToString())
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(program), str(saved_model), str(asked), str(answered)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=1800)
    if done.returncode:
        said = done.stderr[-4000:].decode(errors="replace")
        raise RuntimeError(f"{program.name} ended with {done.returncode}: {said}")
    records = tf.data.TFRecordDataset(str(answered)).as_numpy_iterator()
    return [node_def_pb2.NodeDef.FromString(record) for record in records]


def outputs(response: node_def_pb2.NodeDef) -> dict[str, np.ndarray]:
    """Output name -> array.

    Raises:
      AssertionError: the request failed.
    """
    assert response.op == "OK", (response.op, response.name)
    return {name: tf.make_ndarray(value.tensor) for name, value in response.attr.items()}
