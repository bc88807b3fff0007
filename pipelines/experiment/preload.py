"""What the processes of an experiment begin with: the fork server imports it once, which takes seconds.

No op runs here: TensorFlow has no threads yet that a fork would lose, and counts its cores in the process that pins
itself.
"""

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

import pipelines.experiment.stages  # isort: skip
import pipelines.experiment.timing  # isort: skip  # noqa: F401
