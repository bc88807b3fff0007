"""DatasetSchema: the schema of raw examples as an artifact, carried in the pipeline itself."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
