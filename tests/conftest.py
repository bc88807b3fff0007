"""Settings of every test: legacy Keras before TensorFlow loads, quiet native logs, XLA that does not optimise."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Half of the time of a compilation goes into machine code that no test runs more than a few times.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import seminar_tf  # noqa: F401 (settles the Keras version before any test module imports TensorFlow)
