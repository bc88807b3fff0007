"""ServedModel: the version that is served now, as the baseline of the next one."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
