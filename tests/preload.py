"""What the server of tests/preloaded.py imports, once."""

import seminar_tf

import pipelines.run  # isort: skip  # noqa: F401
import seminar_tf.training.loop  # isort: skip  # noqa: F401
