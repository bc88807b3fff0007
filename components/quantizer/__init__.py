"""Quantizer: the trained model's tables as the configuration wants them served, float, fused or codes."""

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)
