"""SEMINAR on TensorFlow: lifelong, multi-modal, search-enhanced recommendation.

Importing this package settles which Keras the process uses. TensorFlow Recommenders, and the SavedModels that
TFX evaluates, need Keras 2, which TensorFlow takes from `tf-keras` when `TF_USE_LEGACY_KERAS` is set *before*
TensorFlow is first imported. So the variable is set here, and a process in which Keras 3 came first is told how
to mend that instead of failing later inside a layer.
"""

import os
import sys

__version__ = "0.1.0"

_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"


def _require_legacy_keras() -> None:
    """Sets TF_USE_LEGACY_KERAS=1, or explains why it is too late to do so.

    Raises:
      ImportError: Keras 3 is loaded already, or the environment asks for it.
    """
    asked = os.environ.get(_LEGACY_KERAS)
    if asked is not None and asked.lower() not in ("1", "true"):
        raise ImportError(
            f"seminar_tf needs Keras 2 (the tf-keras package), but {_LEGACY_KERAS}={asked!r} asks for Keras 3. "
            f"Unset it or set {_LEGACY_KERAS}=1."
        )
    keras = sys.modules.get("keras")
    keras_3_loaded = keras is not None and str(getattr(keras, "__version__", "")).startswith("3")
    if keras_3_loaded and "tensorflow" in sys.modules and asked is None:
        raise ImportError(
            "seminar_tf needs Keras 2, but Keras 3 was loaded before it. Import seminar_tf before tensorflow and "
            f"keras, or start Python with {_LEGACY_KERAS}=1 in its environment."
        )
    os.environ[_LEGACY_KERAS] = "1"


_require_legacy_keras()
