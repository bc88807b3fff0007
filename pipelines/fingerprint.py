"""Fingerprints of our own code, put among a component's parameters so that TFX's cache notices an edit."""

from __future__ import annotations

import hashlib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def code_fingerprint(*paths: str) -> str:
    """Hashes Python sources.

    Args:
      *paths: files or folders relative to the folder that holds `seminar_tf`, such as "seminar_tf/data".

    Returns:
      16 hexadecimal digits that change when any `.py` file below any of `paths` changes, comes or goes.

    Raises:
      FileNotFoundError: a path that does not exist, for a renamed folder must not silently drop out.
    """
    digest = hashlib.sha256()
    for path in paths:
        top = _ROOT / path
        if not top.exists():
            raise FileNotFoundError(f"code_fingerprint: {path} does not exist beside seminar_tf.")
        for file in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            digest.update(str(file.relative_to(_ROOT)).encode())
            digest.update(b"\0")
            digest.update(file.read_bytes())
            digest.update(b"\0")
    return digest.hexdigest()[:16]
