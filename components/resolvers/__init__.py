"""Which artifacts of earlier spans a run of the pipeline reads."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
