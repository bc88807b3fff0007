"""What a training that another process runs has saved so far."""

from __future__ import annotations

import os
from pathlib import Path


def saved_states(folder: Path) -> set[Path]:
    """The files named `checkpoint` below a folder, each one's states whole on the disk.

    CheckpointManager writes a state's own files first and this one, which names them, last. Its temporary folders
    vanish while one looks: os.walk passes over them, Path.rglob raises.
    """
    return {Path(root) / "checkpoint" for root, _, files in os.walk(folder) if "checkpoint" in files}
