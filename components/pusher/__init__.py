"""TFX's Pusher with an executor that stages and renames."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
