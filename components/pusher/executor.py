"""The Pusher's executor: a blessed model appears under its version number whole, once, or not at all."""

from __future__ import annotations

import filecmp
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.processes import runs
from seminar_tf.export import versions

_LOG = logging.getLogger(__name__)

# The names that `versions.publish` stages under: version, then the process that writes it.
_STAGED = re.compile(r"\.staged-\d+-(\d+)$")


class PushError(ValueError):
    """A push that cannot be made; the message says what is wrong with its destination."""


class Executor(executor.Executor):
    """Pushes as TFX's own executor does, except for how the files get there.

    TFX copies file by file into the numbered folder, which a server may load half-copied and which stays half-copied
    after a kill. Here the copy is staged under another name and renamed, numbers only grow, what a killed push left
    behind is removed, and pushing the newest version's own model again (a run repeated after a kill) adds nothing.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if every blessing that is given says so.

        Args:
          input_dict: `model`, and optionally `model_blessing` and `infra_blessing`.
          output_dict: `pushed_model`, which gets a copy of the model and says where it was pushed to.
          exec_properties: `push_destination`, JSON of a PushDestination with a file system's base directory.

        Raises:
          PushError: the destination is no file system.
          VersionError: the model is no SavedModel.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            _LOG.warning("not pushed: the Evaluator or the RecallEvaluator withheld its blessing; see their reports.")
            self._MarkNotPushed(pushed)
            return
        source = Path(self.GetModelPath(input_dict))
        target = push(source, _base_directory(exec_properties))
        io_utils.copy_dir(str(source), pushed.uri)
        self._MarkPushed(pushed, pushed_destination=str(target), pushed_version=target.name)


def _base_directory(exec_properties: dict[str, Any]) -> Path:
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
    if destination.WhichOneof("destination") != "filesystem" or not destination.filesystem.base_directory:
        raise PushError("push_destination: expected filesystem.base_directory, the folder of numbered versions.")
    return Path(destination.filesystem.base_directory)


def push(source: Path, base: Path) -> Path:
    """Publishes a SavedModel, unless it is what the newest version already holds.

    Args:
      source: SavedModel folder.
      base: folder of numbered versions.

    Returns:
      The version's folder.
    """
    remove_leftovers(base)
    found = versions.list_versions(base)
    if found and same_files(source, base / str(found[-1])):
        _LOG.info("%s is already served as version %d", source, found[-1])
        return base / str(found[-1])
    target = versions.publish(source, base)
    _LOG.info("pushed %s to %s", source, target)
    return target


def remove_leftovers(base: Path) -> None:
    """Removes what killed pushes staged and never renamed; pushes still running are left alone."""
    for child in base.iterdir() if base.is_dir() else ():
        match = _STAGED.fullmatch(child.name)
        # This process is not staging anything yet: its own number was another's before.
        if match and (int(match.group(1)) == os.getpid() or not runs(int(match.group(1)))):
            _LOG.warning("removing %s, which a killed push left behind", child)
            shutil.rmtree(child)


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    listed = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in (one, other)]
    return listed[0] == listed[1] and all(filecmp.cmp(one / p, other / p, shallow=False) for p in listed[0])
