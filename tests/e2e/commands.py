"""Running the installed command line as a person would: another process, its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.preloaded import Preloaded

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = REPOSITORY / "pipelines" / "configs" / "tiny.yaml"
BIN = Path(sys.executable).parent


def environment(**extra: str) -> dict[str, str]:
    """This process's environment with the venv's programs first on PATH."""
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "2"} | extra


def start(*arguments: str) -> subprocess.Popen[str]:
    """Starts `seminar-tf` in a process group of its own, so that a kill takes its children along."""
    return subprocess.Popen(
        [str(BIN / "seminar-tf"), *arguments],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(*arguments: str, timeout: float = 600) -> str:
    """Runs `seminar-tf` to its end.

    Returns:
      What it printed.

    Raises:
      AssertionError: it did not exit with 0.
    """
    process = start(*arguments)
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        printed, _ = process.communicate()
        raise AssertionError(f"seminar-tf {' '.join(arguments)} took over {timeout} s:\n{printed}") from None
    assert process.returncode == 0, f"seminar-tf {' '.join(arguments)} exited with {process.returncode}:\n{printed}"
    return printed


def run_forked(output: Path, *arguments: str, module: str = "seminar_tf.cli.main", **extra: str) -> str:
    """The same of `python -m MODULE` in a process that begins with TensorFlow and TFX imported, where it is not at
    issue how a person starts it.

    Args:
      output: file for what it prints.
      *arguments: its command line.
      module: run as `__main__`.
      **extra: variables beside this process's own.
    """
    process = Preloaded(module, *arguments, output=output, PATH=environment()["PATH"], **extra)
    try:
        status = process.wait(600)
    finally:
        process.kill()
    printed = output.read_text()
    assert status == 0, f"{module} {' '.join(arguments)} exited with {status}:\n{printed}"
    return printed


def report_file(root: Path) -> Path:
    """Where a run into `root` writes its report."""
    return root / "report" / "report.json"


def report(root: Path) -> dict[str, Any]:
    """The newest report of a run into `root`."""
    tree: dict[str, Any] = json.loads(report_file(root).read_text())
    return tree
