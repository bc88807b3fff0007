"""What the commands share of talking to a person."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_native_logs() -> None:
    """Keeps TensorFlow's C++ side to errors, unless the user asked for another level; call before it loads.

    Google's client libraries, which Beam imports, also warn at import of each Python version they will leave.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Records of import time come before any log file is open; without a handler the first would set one up on stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
