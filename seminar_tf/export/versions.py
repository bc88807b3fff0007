"""Numbered versions of a model under one folder, the layout that TF Serving watches.

A server loads any folder whose name is a number as soon as it appears. So a version is copied under a name that is no
number, and renamed when it is whole.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

# TF Serving reads versions as int64.
_LARGEST = (1 << 63) - 1


class VersionError(ValueError):
    """A version that cannot be published or found; the message names the folder."""


def list_versions(base: str | Path) -> tuple[int, ...]:
    """Version numbers under a folder, ascending.

    Args:
      base: folder of versions. Names that are not plain numbers (half-copied versions, notes) are passed over.

    Returns:
      Numbers; empty where the folder does not exist.
    """
    root = Path(base)
    if not root.is_dir():
        return ()
    return tuple(sorted(int(child.name) for child in root.iterdir() if _is_version(child)))


def _is_version(folder: Path) -> bool:
    # isdecimal() alone takes other scripts' digits and, with int(), two names for one number ("7" and "007").
    name = folder.name
    plain = name.isascii() and name.isdecimal() and (name == "0" or not name.startswith("0"))
    return plain and int(name) <= _LARGEST and folder.is_dir()


def latest(base: str | Path) -> Path:
    """Folder of the highest version.

    Raises:
      VersionError: there is none.
    """
    versions = list_versions(base)
    if not versions:
        raise VersionError(
            f"{base}: no model version found. Expected a folder named with a number, such as {base}/1/saved_model.pb; "
            "run the pipeline first, or name the folder that the Pusher wrote to."
        )
    return Path(base) / str(versions[-1])


def next_version(base: str | Path, now_s: float | None = None) -> int:
    """A number above every version there is: the time in seconds, as TFX numbers them.

    Args:
      base: folder of versions.
      now_s: seconds since 1970; None takes the clock.
    """
    found = list_versions(base)
    now = int(time.time() if now_s is None else now_s)
    return max(now, found[-1] + 1) if found else now


def publish(source: str | Path, base: str | Path, version: int | None = None) -> Path:
    """Copies a SavedModel to its version's folder: beside first, then renamed.

    Args:
      source: folder of a SavedModel.
      base: folder of versions; made if it is missing.
      version: its number; None takes `next_version`.

    Returns:
      The version's folder.

    Raises:
      VersionError: `source` is no SavedModel, or the version exists already: versions never change.
    """
    if not (Path(source) / "saved_model.pb").is_file():
        raise VersionError(f"{source}: not a SavedModel (no saved_model.pb in it).")
    root = Path(base)
    root.mkdir(parents=True, exist_ok=True)
    number = next_version(root) if version is None else version
    target = root / str(number)
    if target.exists():
        raise VersionError(f"{target} exists already. Versions never change: publish under a higher number.")
    staged = root / f".staged-{number}-{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        shutil.copytree(source, staged)
        os.rename(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target
