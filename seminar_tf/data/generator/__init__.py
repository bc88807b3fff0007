"""Built-in, deterministic generator of canonical datasets whose true click probabilities are known.

The road of one call of `generate`: `config` (preset) -> `world` (items and their latent vectors, words) -> items are
written in blocks (`catalog`, `images`) -> users in blocks (`timeline`, `interests`, `behaviour`, together `simulate`,
then `tables`) -> `ideal`, what the ranker that knows the truth reaches.
"""

from seminar_tf.data.generator.config import PRESETS, GeneratorConfig, preset
from seminar_tf.data.generator.generate import CONFIG_FILE, IDEAL_FILE, Summary, generate

__all__ = ["CONFIG_FILE", "IDEAL_FILE", "PRESETS", "GeneratorConfig", "Summary", "generate", "preset"]
