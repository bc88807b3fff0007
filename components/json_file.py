"""JSON files, written beside and renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Writes a file, whole or not at all, and the folder that it lies in.

    Raises:
      ValueError: a number is NaN or infinite, which JSON does not have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
