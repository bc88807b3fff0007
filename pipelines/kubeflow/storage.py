"""Artifacts of object stores as files: components read and write POSIX paths, the platform has URIs.

Kubeflow's launcher copies an input of `gs://bucket/key` to `/gcs/bucket/key` before a container starts, and uploads
what lies at an output's path afterwards (likewise /s3 and /minio). Vertex mounts buckets at /gcs. That mount cannot
rename folders, which is how components make their outputs appear whole, so outputs are made in a local folder first.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)

_MOUNTS = {"gs://": "gcs", "s3://": "s3", "minio://": "minio"}
# Folder that holds the mounts. Tests put their own in its place.
ROOT_VARIABLE = "SEMINAR_MOUNT_ROOT"


class StorageError(ValueError):
    """An artifact that is not where the platform said; the message names it."""


def local_path(uri: str, root: str | Path | None = None) -> str:
    """Where a container sees a URI.

    Args:
      uri: of a file, a folder or a pattern of them; a path stays as it is.
      root: folder of the mounts; None takes / or what SEMINAR_MOUNT_ROOT names.

    Raises:
      StorageError: a scheme that no platform mounts.
    """
    top = Path(os.environ.get(ROOT_VARIABLE, "/") if root is None else root)
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return str(top / mount / uri.removeprefix(scheme))
    if "://" in uri:
        raise StorageError(f"{uri}: expected a path or one of {', '.join(_MOUNTS)}.")
    return uri


class Staging:
    """Local paths of one execution's artifacts, and the way back.

    Outputs lie in a scratch folder until `publish`: a component that fails leaves nothing behind.
    """

    def __init__(self, scratch: str | Path, root: str | Path | None = None) -> None:
        """Args:
        scratch: an empty folder on a local disk.
        root: see `local_path`.
        """
        self._scratch = Path(scratch)
        self._root = root
        self._remote: dict[str, str] = {}
        self._outputs: dict[str, str] = {}

    def read(self, uri: str, what: str) -> str:
        """Local path of an input.

        Args:
          uri: of the artifact.
          what: its name, for messages.

        Raises:
          StorageError: nothing is there.
        """
        path = local_path(uri, self._root)
        if not Path(path).exists():
            raise StorageError(f"input {what}: {uri} is expected at {path}, where there is nothing.")
        self._remote[path] = uri
        return path

    def write(self, uri: str) -> str:
        """Local path for an output, empty and not yet made."""
        path = str(self._scratch / "outputs" / str(len(self._outputs)) / Path(uri).name)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._outputs[path] = local_path(uri, self._root)
        self._remote[path] = uri
        return path

    def publish(self) -> None:
        """Copies every output to where the platform looks, in place of what a failed try left there."""
        for path, target in self._outputs.items():
            if not Path(path).exists():
                _LOG.warning("nothing was written for %s", self._remote[path])
                continue
            shutil.rmtree(target, ignore_errors=True)
            # copyfile alone: a mounted bucket has no modes or times to set.
            shutil.copytree(path, target, copy_function=shutil.copyfile, dirs_exist_ok=True)

    def remote(self, value: Any) -> Any:
        """The same value with local paths turned back to URIs, in texts, lists and mappings."""
        if isinstance(value, str):
            for path, uri in self._remote.items():
                if value == path or value.startswith(path + "/"):
                    return uri + value[len(path) :]
            return value
        if isinstance(value, Mapping):
            return {key: self.remote(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.remote(inner) for inner in value]
        return value
