"""Arrays in one file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file, beside and then renamed, so that no half-written one is ever read."""
    path = Path(path)
    beside = path.with_name(path.name + ".partial")
    with beside.open("wb") as out:
        np.savez(out, **arrays)
    os.replace(beside, path)
