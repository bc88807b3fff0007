"""What is known of a model's versions: their states, and which of them a request means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from serving.errors import CallError, invalid, not_found
from serving.options import ModelSource


class State(IntEnum):
    """ModelVersionStatus.State of get_model_status.proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """A version the manager knows of."""

    state: State = State.START
    error: CallError | None = None
    model: Any = None
    leases: int = 0
    # What a version that failed to load looked like on disk: it is tried again when its files change.
    failed_files: tuple[tuple[str, int, int], ...] = ()


@dataclass
class Model:
    """A model and its versions."""

    source: ModelSource
    versions: dict[int, Version] = field(default_factory=dict)
    # A model that a reload took away is kept for the status of its versions.
    removed: bool = False
    # What was last said about its folder: said once, not at every look.
    complaint: str = ""

    def available(self) -> list[int]:
        """Versions that take calls, ascending."""
        return sorted(n for n, version in self.versions.items() if version.state == State.AVAILABLE)


def choose(model: Model, spec: Any) -> int:
    """The version number that a ModelSpec asks for.

    Raises:
      CallError: NOT_FOUND, it is not available; INVALID_ARGUMENT, an unknown label.
    """
    name, available = model.source.name, model.available()
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        if not available:
            raise not_found(f"Servable not found for request: Latest({name}). No version of it is loaded.")
        return available[-1]
    number = spec.version.value if choice == "version" else labelled(model, spec.version_label)
    if number not in available:
        loaded = ", ".join(map(str, available)) or "none"
        raise not_found(f"Servable not found for request: Specific({name}, {number}). Versions loaded: {loaded}.")
    return number


def labelled(model: Model, label: str) -> int:
    """The version that has a label, available or not.

    Raises:
      CallError: INVALID_ARGUMENT, no version has it.
    """
    labels = model.source.version_labels
    if label not in labels:
        known = ", ".join(sorted(labels)) or "none"
        raise invalid(f'Unrecognized servable version label: "{label}". Labels of {model.source.name}: {known}.')
    return labels[label]


def check_labels(sources: tuple[ModelSource, ...], models: Mapping[str, Model], allow_new: bool) -> None:
    """Holds the labels of a new configuration against what is loaded.

    Args:
      sources: the new configuration.
      models: the models as they are.
      allow_new: a label that is new may name a version that is not available; one that moves may not.

    Raises:
      CallError: FAILED_PRECONDITION, a label's version is not available.
    """
    for source in sources:
        model = models.get(source.name)
        available = model.available() if model else []
        known = model.source.version_labels if model else {}
        for label, number in source.version_labels.items():
            moved = known.get(label, number) != number
            if number not in available and (moved or not allow_new):
                raise CallError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f'label "{label}" is given to version {number} of model {source.name}, which is not available. '
                    "Load the version first, then give it the label in a second configuration.",
                )


def why_down(model: Model) -> str:
    """Why no version of a model answers, for people."""
    errors = [version.error.message for version in model.versions.values() if version.error is not None]
    return f"{model.source.name}: {errors[-1] if errors else model.complaint}"


def fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    """(name, bytes, modification time) of every file and folder of a version, but those removed meanwhile."""
    files = []
    # os.walk passes over a folder that vanished since it was listed; Path.rglob raises. Folders count: one may be a
    # link that now leads elsewhere.
    for folder, folders, names in os.walk(path):
        for file in (Path(folder) / name for name in (*folders, *names)):
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            files.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return tuple(sorted(files))
