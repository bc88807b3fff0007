"""Which versions are loaded: polls the folders, loads, warms up, publishes, then drops what is no longer wanted.

A call holds a lease on its version for as long as it runs, so a version that is dropped answers its last calls first
and frees its memory after them. No call fails because of a reload.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from seminar_tf.export import versions
from serving.errors import CallError, invalid, not_found
from serving.options import ModelSource

_LOG = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], Any]


class State(IntEnum):
    """ModelVersionStatus.State of get_model_status.proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class _Version:
    """A version the manager knows of."""

    state: State = State.START
    error: CallError | None = None
    model: Any = None
    leases: int = 0
    # What a version that failed to load looked like on disk: it is tried again when its files change.
    failed_files: tuple[tuple[str, int, int], ...] = ()


@dataclass
class _Model:
    source: ModelSource
    versions: dict[int, _Version] = field(default_factory=dict)

    def available(self) -> list[int]:
        return sorted(n for n, version in self.versions.items() if version.state == State.AVAILABLE)


class ModelManager:
    """Keeps the newest versions of each model loaded."""

    def __init__(self, sources: tuple[ModelSource, ...], load: Loader) -> None:
        """Makes a manager with nothing loaded; `refresh` loads.

        Args:
          sources: the models to serve.
          load: (name, version, folder) -> a warmed-up model with a `close()`. It raises CallError when the version
            cannot be used.

        Raises:
          ValueError: two sources share a name.
        """
        names = [source.name for source in sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two models share a name: {', '.join(sorted(names))}.")
        self._models = {source.name: _Model(source) for source in sources}
        self._load = load
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None
        self.on_change: Callable[[], None] = lambda: None

    def refresh(self) -> None:
        """One look at every folder: new versions are loaded and published, then unwanted ones dropped."""
        with self._refreshing:
            for model in self._models.values():
                self._refresh(model)

    def _refresh(self, model: _Model) -> None:
        source = model.source
        if not Path(source.base_path).is_dir():
            _LOG.warning("%s: folder %s is not there; keeping what is loaded.", source.name, source.base_path)
            return
        wanted = versions.list_versions(source.base_path)[-source.num_versions :]
        if not wanted:
            _LOG.warning("%s: no numbered version under %s.", source.name, source.base_path)
        for number in wanted:
            self._load_version(model, number)
        # While no wanted version is up, the old one goes on answering (a broken push must not take a site down), unless
        # its files were removed on purpose.
        if wanted and not set(wanted) & set(model.available()):
            return
        for number in model.available():
            if number not in wanted:
                self._retire(model, number)

    def _load_version(self, model: _Model, number: int) -> None:
        """Loads a version that is not up, unless the same files failed before."""
        path = Path(model.source.base_path) / str(number)
        with self._lock:
            known = model.versions.setdefault(number, _Version())
            if known.state in (State.AVAILABLE, State.UNLOADING):
                return
        files = _fingerprint(path)
        if known.error is not None and known.failed_files == files:
            return
        with self._lock:
            known.state, known.error = State.LOADING, None
        try:
            loaded = self._load(model.source.name, number, path)
        except CallError as error:
            _LOG.error("%s version %d cannot be served: %s", model.source.name, number, error.message)
            with self._lock:
                known.state, known.error, known.failed_files = State.END, error, files
            return
        with self._lock:
            known.model, known.state = loaded, State.AVAILABLE
        _LOG.info("%s version %d is available (%s)", model.source.name, number, path)
        self.on_change()

    def _retire(self, model: _Model, number: int) -> None:
        """Takes no new calls on a version; its memory goes with its last call."""
        with self._lock:
            version = model.versions[number]
            version.state = State.UNLOADING
            idle = version.leases == 0
        self.on_change()
        if idle:
            self._unload(model, number)

    def _unload(self, model: _Model, number: int) -> None:
        with self._lock:
            version = model.versions[number]
            loaded, version.model, version.state = version.model, None, State.END
        if loaded is not None:
            loaded.close()
            _LOG.info("%s version %d is unloaded", model.source.name, number)

    @contextmanager
    def lease(self, spec: Any) -> Iterator[Any]:
        """The loaded model that a ModelSpec asks for, kept alive inside the `with`.

        Args:
          spec: a ModelSpec: name, and a version number, a version label, or neither for the newest version.

        Raises:
          CallError: INVALID_ARGUMENT (no name, unknown label) or NOT_FOUND (unknown model or version).
        """
        model = self._find(spec)
        with self._lock:
            number = _choose(model, spec)
            version = model.versions[number]
            version.leases += 1
            loaded = version.model
        try:
            yield loaded
        finally:
            with self._lock:
                version.leases -= 1
                last = version.leases == 0 and version.state == State.UNLOADING
            if last:
                self._unload(model, number)

    def _find(self, spec: Any) -> _Model:
        if not spec.name:
            raise invalid("Missing ModelSpec: the request names no model.")
        model = self._models.get(spec.name)
        if model is None:
            wanted = (
                f"Specific({spec.name}, {spec.version.value})" if spec.HasField("version") else f"Latest({spec.name})"
            )
            served = ", ".join(sorted(self._models))
            raise not_found(f"Servable not found for request: {wanted}. Models served here: {served}.")
        return model

    def states(self, spec: Any) -> list[tuple[int, State, CallError | None]]:
        """(version, state, error) of every version known, newest first, or of the one that `spec` names.

        Raises:
          CallError: as in `lease`; NOT_FOUND also where no version was ever seen.
        """
        model = self._find(spec)
        with self._lock:
            found = [(number, version.state, version.error) for number, version in sorted(model.versions.items())[::-1]]
            if spec.WhichOneof("version_choice") == "version_label":
                number = _labelled(model, spec.version_label)
                found = [row for row in found if row[0] == number]
            elif spec.HasField("version"):
                found = [row for row in found if row[0] == spec.version.value]
        if not found:
            raise not_found(f"Could not find any versions of model {spec.name} that match the request.")
        return found

    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        with self._lock:
            return all(model.available() for model in self._models.values())

    def start_polling(self, seconds: float) -> None:
        """Calls `refresh` every so many seconds, in a thread of its own."""

        def poll() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.refresh()
                except OSError:
                    # A folder that cannot be read now (a remount, a race with a clean-up) is looked at again.
                    _LOG.exception("polling for versions failed; trying again in %g s", seconds)

        self._poller = threading.Thread(target=poll, name="model-poller", daemon=True)
        self._poller.start()

    def close(self) -> None:
        """Stops polling and unloads everything; calls that still run keep their version to their end."""
        self._stop.set()
        if self._poller is not None:
            self._poller.join()
        for model in self._models.values():
            for number in model.available():
                self._retire(model, number)


def _choose(model: _Model, spec: Any) -> int:
    """The version number that a ModelSpec asks for, which is available."""
    name, available = model.source.name, model.available()
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        if not available:
            raise not_found(f"Servable not found for request: Latest({name}). No version of it is loaded.")
        return available[-1]
    number = spec.version.value if choice == "version" else _labelled(model, spec.version_label)
    if number not in available:
        loaded = ", ".join(map(str, available)) or "none"
        raise not_found(f"Servable not found for request: Specific({name}, {number}). Versions loaded: {loaded}.")
    return number


def _labelled(model: _Model, label: str) -> int:
    labels = model.source.version_labels
    if label not in labels:
        known = ", ".join(sorted(labels)) or "none"
        raise invalid(f'Unrecognized servable version label: "{label}". Labels of {model.source.name}: {known}.')
    return labels[label]


def _fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    """(name, bytes, modification time) of every file of a version."""
    files = []
    for file in sorted(path.rglob("*")):
        try:
            status = file.stat()
        except FileNotFoundError:  # removed meanwhile
            continue
        files.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return tuple(files)
