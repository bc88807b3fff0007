"""Settings of every test: legacy Keras before TensorFlow loads, quiet native logs, no download of Beam's Prism."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import seminar_tf  # noqa: F401 (settles the Keras version before any test module imports TensorFlow)
