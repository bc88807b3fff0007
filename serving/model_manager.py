"""Which versions are loaded: polls the folders, loads, warms up, publishes, then drops what is no longer wanted.

A call holds a lease on its version for as long as it runs, so a version that is dropped answers its last calls first
and frees its memory after them. No call fails because of a reload.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from seminar_tf.export import versions
from serving.errors import CallError, invalid, not_found
from serving.model_versions import Model, State, Version, check_labels, choose, fingerprint, labelled, why_down
from serving.options import ModelSource

_LOG = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], Any]


class ModelManager:
    """Keeps the wanted versions of each model loaded."""

    def __init__(
        self, sources: tuple[ModelSource, ...], load: Loader, allow_labels_of_unavailable_models: bool = False
    ) -> None:
        """Makes a manager with nothing loaded; `refresh` loads.

        Args:
          sources: the models to serve.
          load: (name, version, folder) -> a warmed-up model with a `close()`. It raises CallError when the version
            cannot be used.
          allow_labels_of_unavailable_models: what `reconfigure` accepts; labels given here are taken as they are.

        Raises:
          ValueError: two sources share a name.
        """
        names = [source.name for source in sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two models share a name: {', '.join(sorted(names))}.")
        self._models = {source.name: Model(source) for source in sources}
        self._load = load
        self._allow_labels = allow_labels_of_unavailable_models
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None
        self.on_change: Callable[[], None] = lambda: None

    def refresh(self) -> None:
        """One look at every folder: new versions are loaded and published, then unwanted ones dropped."""
        with self._refreshing:
            for model in self._models.values():
                if not model.removed:
                    self._refresh(model)

    def _refresh(self, model: Model) -> None:
        source = model.source
        if not Path(source.base_path).is_dir():
            self._complain(model, f"folder {source.base_path} is not there; keeping what is loaded.")
            return
        found = versions.list_versions(source.base_path)
        wanted = source.wanted(found)
        missing = sorted(set(source.versions) - set(found)) if source.policy == "specific" else []
        if missing:
            self._complain(model, f"versions {missing} of the policy are not under {source.base_path}.")
        elif not wanted:
            self._complain(model, f"no numbered version under {source.base_path}.")
        else:
            model.complaint = ""
        for number in wanted:
            self._load_version(model, number)
        # While no wanted version is up, the old one goes on answering (a broken push must not take a site down), unless
        # its files were removed on purpose.
        if wanted and not set(wanted) & set(model.available()):
            return
        for number in model.available():
            if number not in wanted:
                self._retire(model, number)

    def _complain(self, model: Model, text: str) -> None:
        if model.complaint != text:
            model.complaint = text
            name = model.source.name
            _LOG.warning("%s: %s", name, text, extra={"event": "versions_missing", "model": name})

    def reconfigure(self, sources: tuple[ModelSource, ...]) -> None:
        """Serves these models instead: drops those not named, takes new settings of others, loads new ones.

        Nothing is changed when the labels are refused. When new models have no version that answers, the change stays,
        as at the real server, and they come up when their folders have one.

        Args:
          sources: the models to serve from now on.

        Raises:
          CallError: FAILED_PRECONDITION, a label is given to a version that is not loaded; UNKNOWN, a new model has no
            version that answers.
        """
        with self._refreshing:
            before = {name for name, model in self._models.items() if not model.removed}
            wanted = {source.name: source for source in sources}
            with self._lock:
                check_labels(sources, self._models, self._allow_labels)
                models = dict(self._models)
                for name, source in wanted.items():
                    model = models.setdefault(name, Model(source))
                    model.source, model.removed = source, False
                for name in before - set(wanted):
                    models[name].removed = True
                # Replaced, not changed: calls look a model up without the lock.
                self._models = models
            for name in before - set(wanted):
                for number in models[name].available():
                    self._retire(models[name], number)
            for name in wanted:
                self._refresh(models[name])
            self.on_change()
            added, gone = sorted(set(wanted) - before), sorted(before - set(wanted))
            _LOG.info("models added: %s; removed: %s", added, gone, extra={"event": "config_reloaded"})
            down = [name for name in added if not models[name].available()]
        if down:
            reasons = "; ".join(why_down(models[name]) for name in down)
            raise CallError(
                grpc.StatusCode.UNKNOWN, f"{len(down)} model(s) did not become available: {', '.join(down)}. {reasons}"
            )

    def _load_version(self, model: Model, number: int) -> None:
        """Loads a version that is not up, unless the same files failed before."""
        path = Path(model.source.base_path) / str(number)
        with self._lock:
            known = model.versions.setdefault(number, Version())
            if known.state == State.UNLOADING and known.model is not None:
                # Wanted again before its last call was through.
                known.state = State.AVAILABLE
            if known.state in (State.AVAILABLE, State.UNLOADING):
                return
        files = fingerprint(path)
        if known.error is not None and known.failed_files == files:
            return
        with self._lock:
            known.state, known.error = State.LOADING, None
        try:
            loaded = self._load(model.source.name, number, path)
        except CallError as error:
            _LOG.error(
                "%s version %d cannot be served: %s", model.source.name, number, error.message,
                extra={"event": "version_failed", "model": model.source.name, "version": number},
            )  # fmt: skip
            with self._lock:
                known.state, known.error, known.failed_files = State.END, error, files
            return
        with self._lock:
            known.model, known.state = loaded, State.AVAILABLE
        _LOG.info(
            "version is available (%s)", path,
            extra={"event": "version_available", "model": model.source.name, "version": number},
        )  # fmt: skip
        self.on_change()

    def _retire(self, model: Model, number: int) -> None:
        """Takes no new calls on a version; its memory goes with its last call."""
        with self._lock:
            version = model.versions[number]
            version.state = State.UNLOADING
            idle = version.leases == 0
        self.on_change()
        if idle:
            self._unload(model, number)

    def _unload(self, model: Model, number: int) -> None:
        with self._lock:
            version = model.versions[number]
            if version.state != State.UNLOADING or version.leases:
                return  # wanted again meanwhile
            loaded, version.model, version.state = version.model, None, State.END
        if loaded is not None:
            loaded.close()
            extra = {"event": "version_unloaded", "model": model.source.name, "version": number}
            _LOG.info("version is unloaded", extra=extra)

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
            if model.removed:
                raise self._unknown(spec)
            number = choose(model, spec)
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

    def _find(self, spec: Any) -> Model:
        if not spec.name:
            raise invalid("Missing ModelSpec: the request names no model.")
        model = self._models.get(spec.name)
        if model is None:
            raise self._unknown(spec)
        return model

    def _unknown(self, spec: Any) -> CallError:
        wanted = f"Specific({spec.name}, {spec.version.value})" if spec.HasField("version") else f"Latest({spec.name})"
        served = ", ".join(sorted(name for name, model in self._models.items() if not model.removed)) or "none"
        return not_found(f"Servable not found for request: {wanted}. Models served here: {served}.")

    def states(self, spec: Any) -> list[tuple[int, State, CallError | None]]:
        """(version, state, error) of every version known, newest first, or of the one that `spec` names.

        Raises:
          CallError: as in `lease`; NOT_FOUND also where no version was ever seen.
        """
        model = self._find(spec)
        with self._lock:
            found = [(number, version.state, version.error) for number, version in sorted(model.versions.items())[::-1]]
            if spec.WhichOneof("version_choice") == "version_label":
                number = labelled(model, spec.version_label)
                found = [row for row in found if row[0] == number]
            elif spec.HasField("version"):
                found = [row for row in found if row[0] == spec.version.value]
        if not found:
            raise not_found(f"Could not find any versions of model {spec.name} that match the request.")
        return found

    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        with self._lock:
            return all(model.available() for model in self._models.values() if not model.removed)

    def loaded(self) -> list[tuple[str, int]]:
        """(model, version) of every version that takes calls."""
        with self._lock:
            return [(name, number) for name, model in self._models.items() for number in model.available()]

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
