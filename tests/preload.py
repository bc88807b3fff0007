"""What the server of tests/preloaded.py imports, once."""

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

import pipelines.run  # isort: skip
import pipelines.trainers.seminar  # isort: skip  # noqa: F401
import tests.models.toy  # isort: skip  # noqa: F401
