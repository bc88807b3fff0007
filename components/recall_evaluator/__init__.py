"""RecallEvaluator: what the served model's search loses against exact attention, and whether that may be pushed."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
