"""TFX's Trainer with an earlier model to start from."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
