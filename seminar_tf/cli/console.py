"""What the commands share of talking to a person."""

from __future__ import annotations

import os


def quiet_native_logs() -> None:
    """Keeps TensorFlow's C++ side to errors, unless the user asked for another level; call before it loads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
