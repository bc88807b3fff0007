"""`seminar-tf generate`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from seminar_tf.cli.generate import command
from seminar_tf.config_io import ConfigError
from seminar_tf.data.dataset import DatasetError, find_spans


def run(*arguments: str):
    return CliRunner().invoke(command, arguments)


def test_writes_a_dataset_and_says_what_it_holds(tmp_path):
    out = tmp_path / "out"
    result = run("--preset", "tiny", "--out", str(out), "--users", "50", "--seed", "3", "--spans", "2")
    assert result.exit_code == 0, result.output
    assert find_spans(out) == (1, 2)
    for word in ("events", "requests", "ideal", "popularity", "NDCG@10", "events/s"):
        assert word in result.output


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("--items", "10"), ConfigError, "items: expected at least 64"),
        (("--users", "100", "--events", "500"), ConfigError, "more or fewer users"),
    ],
)
def test_sizes_that_do_not_go_together(tmp_path, arguments, kind, message):
    result = run("--preset", "tiny", "--out", str(tmp_path / "out"), *arguments)
    assert isinstance(result.exception, kind)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for more in ((), ("--overwrite",)):
        result = run("--preset", "tiny", "--out", str(tmp_path), *more)
        assert isinstance(result.exception, DatasetError)
        assert str(tmp_path) in str(result.exception)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_unknown_preset_and_missing_out():
    assert run("--preset", "huge", "--out", "x").exit_code == 2
    assert "--out" in run("--preset", "tiny").output
