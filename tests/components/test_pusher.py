"""Pushes are whole or absent, numbers grow, and only blessed models get through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from components.pusher.component import Pusher
from components.pusher.executor import Executor, PushError, remove_leftovers
from seminar_tf.export import versions


def make_model(root: Path, content: str) -> Path:
    """A Model artifact's folder with a SavedModel whose bytes are `content`."""
    folder = root / "Format-Serving"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text("index")
    (folder / "assets.extra" / "seminar.json").write_text("{}")
    return root


def run(tmp_path: Path, model: Path, blessed: bool | None = True) -> Any:
    """Runs the executor; returns the PushedModel artifact."""
    inputs: dict[str, list[Any]] = {"model": [standard_artifacts.Model()]}
    inputs["model"][0].uri = str(model)
    if blessed is not None:
        blessing = standard_artifacts.ModelBlessing()
        blessing.uri = str(tmp_path / "blessing")
        blessing.set_int_custom_property("blessed", int(blessed))
        inputs["model_blessing"] = [blessing]
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    destination = json.dumps({"filesystem": {"base_directory": str(tmp_path / "serving")}})
    context = Executor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
    Executor(context).Do(inputs, {"pushed_model": [pushed]}, {"push_destination": destination})
    return pushed


def test_blessed_model_is_pushed_whole(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "one")
    pushed = run(tmp_path, model)
    (version,) = versions.list_versions(tmp_path / "serving")
    target = tmp_path / "serving" / str(version)
    assert pushed.get_string_custom_property("pushed_destination") == str(target)
    assert pushed.get_string_custom_property("pushed_version") == str(version)
    assert pushed.get_int_custom_property("pushed") == 1
    for folder in (target, Path(pushed.uri)):
        assert (folder / "saved_model.pb").read_text() == "one"
        assert (folder / "assets.extra" / "seminar.json").exists()
        assert (folder / "variables" / "variables.index").exists()
    assert [p.name for p in (tmp_path / "serving").iterdir()] == [str(version)]


def test_unblessed_model_is_not_pushed(tmp_path: Path) -> None:
    pushed = run(tmp_path, make_model(tmp_path / "model", "one"), blessed=False)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_versions_grow_and_the_same_model_adds_none(tmp_path: Path) -> None:
    first, second = make_model(tmp_path / "a", "one"), make_model(tmp_path / "b", "two")
    run(tmp_path, first)
    run(tmp_path, second)
    before = versions.list_versions(tmp_path / "serving")
    assert len(before) == 2 and before[1] > before[0]
    pushed = run(tmp_path, second)
    assert versions.list_versions(tmp_path / "serving") == before
    assert pushed.get_string_custom_property("pushed_version") == str(before[1])
    # Going back to the first model is a new version: the server takes the highest number.
    run(tmp_path, first)
    assert len(versions.list_versions(tmp_path / "serving")) == 3


def test_version_is_above_one_from_the_future(tmp_path: Path) -> None:
    (tmp_path / "serving" / "99999999999").mkdir(parents=True)
    run(tmp_path, make_model(tmp_path / "model", "one"), blessed=None)
    assert versions.list_versions(tmp_path / "serving") == (99999999999, 100000000000)


_KILLED = """
import os, signal, sys
from pathlib import Path
from seminar_tf.export import versions
os.rename = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
versions.publish(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_kill_between_copy_and_rename_leaves_no_version(tmp_path: Path) -> None:
    model, serving = make_model(tmp_path / "model", "one"), tmp_path / "serving"
    command = [sys.executable, "-c", _KILLED, str(model / "Format-Serving"), str(serving)]
    assert subprocess.run(command, check=False).returncode == -9
    (left,) = list(serving.iterdir())
    assert not left.name.isdecimal() and (left / "saved_model.pb").exists()
    assert versions.list_versions(serving) == ()

    run(tmp_path, model)
    assert [p.name.isdecimal() for p in serving.iterdir()] == [True]


def test_a_running_push_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f".staged-12-{os.getppid()}").mkdir()
    (tmp_path / ".notes").mkdir()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_destination_must_be_a_folder(tmp_path: Path) -> None:
    model = standard_artifacts.Model()
    model.uri = str(make_model(tmp_path / "model", "one"))
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    context = Executor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
    with pytest.raises(PushError, match=r"filesystem\.base_directory"):
        Executor(context).Do({"model": [model]}, {"pushed_model": [pushed]}, {"push_destination": "{}"})


def test_component_takes_the_arguments_of_tfx() -> None:
    destination = tfx.proto.PushDestination(filesystem=tfx.proto.PushDestination.Filesystem(base_directory="serving"))
    component = Pusher(model=tfx.dsl.Channel(type=standard_artifacts.Model), push_destination=destination)
    assert component.executor_spec.executor_class is Executor
    assert component.id == "Pusher"
