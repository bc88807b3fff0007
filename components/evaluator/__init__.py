"""The module of the stock Evaluator: requests from segments, ranks, metrics, slices, thresholds."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFMA loads TensorFlow)
