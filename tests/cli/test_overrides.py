"""`--set` of the commands that look at what was run: their configuration is that of the runs."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from seminar_tf.cli import rollback, skew

CONFIG = str(Path(__file__).resolve().parents[2] / "pipelines" / "configs" / "tiny.yaml")


@pytest.mark.parametrize("command", [rollback.command, skew.command], ids=["rollback", "skew"])
def test_a_key_is_overridden_and_a_wrong_one_refused(command, tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(command, ["--config", CONFIG, *arguments])
        assert result.exit_code == 1
        return str(result.exception) + result.output.replace("\n", " ")

    assert f"there is no {tmp_path}/here/" in run("--set", f"root={tmp_path}/here")
    # An option of its own comes last.
    assert f"there is no {tmp_path}/there/" in run("--set", f"root={tmp_path}/here", "--root", f"{tmp_path}/there")
    assert "Did you mean 'retention_days'?" in run("--set", "data.retention_day=5")
