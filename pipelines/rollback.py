"""Takes a pushed version back: no server loads it any more, and nothing is compared with it or started from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.resolvers.lineage import inputs_of
from seminar_tf.export import versions

PREFIX = "withdrawn-"


class RollbackError(RuntimeError):
    """There is nothing to take back, or nothing older to serve; the message says which."""


@dataclass(frozen=True)
class Withdrawn:
    """What was taken back.

    Attributes:
      version: its number.
      serves: the version that is the newest now.
      unblessed: blessings of its model that were taken back in ML Metadata.
    """

    version: int
    serves: int
    unblessed: int


def withdraw(push_dir: Path, store: Any, version: int | None = None) -> Withdrawn:
    """Renames a version's folder, so that servers unload it, and takes its model's blessing back.

    Args:
      push_dir: folder of numbered versions.
      store: ml_metadata.MetadataStore of the pipeline.
      version: which; None takes the newest.

    Raises:
      RollbackError: no such version, or it is the only one.
    """
    found = versions.list_versions(push_dir)
    chosen = version if version is not None else (found[-1] if found else None)
    if chosen is None or chosen not in found:
        raise RollbackError(f"{push_dir} has no version {chosen or ''}; it has {', '.join(map(str, found)) or 'none'}.")
    left = [number for number in found if number != chosen]
    if not left:
        raise RollbackError(f"version {chosen} is the only one in {push_dir}: nothing would be served.")
    # First: with the folder gone and the blessing kept, tomorrow's model would start from this one.
    unblessed = _unbless(store, str(chosen))
    os.rename(push_dir / str(chosen), push_dir / f"{PREFIX}{chosen}")
    return Withdrawn(chosen, left[-1], unblessed)


def _unbless(store: Any, version: str) -> int:
    pushed = [a for a in store.get_artifacts_by_type("PushedModel") if _text(a, "pushed_version") == version]
    models = {model.id for artifact in pushed for model in inputs_of(store, artifact.id).get("model", [])}
    blessings = [
        blessing
        for blessing in store.get_artifacts_by_type("ModelBlessing")
        if blessing.custom_properties["current_model_id"].int_value in models
        and blessing.custom_properties["blessed"].int_value == 1
    ]
    for blessing in blessings:
        blessing.custom_properties["blessed"].int_value = 0
        blessing.custom_properties["withdrawn_version"].string_value = version
    if blessings:
        store.put_artifacts(blessings)
    return len(blessings)


def _text(artifact: Any, name: str) -> str:
    return str(artifact.custom_properties[name].string_value) if name in artifact.custom_properties else ""
