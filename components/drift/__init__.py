"""Drift: the newest span's events against those of the span before, by TFDV's comparators."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
