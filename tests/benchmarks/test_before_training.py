"""The benchmark of what comes before training, on few events, and what watches its process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import before_training, processes


def test_a_run_has_the_seconds_of_its_components(tmp_path: Path) -> None:
    """Up to the first one: the others take minutes whatever the size."""
    (run,) = before_training.measure(2000, [1], 1, tmp_path, last="BehaviorExampleGen")
    spent = run["components"]["BehaviorExampleGen"]
    assert 0 < spent["seconds"] < 600 and spent["cpu_seconds"] > 0
    assert run["peak_mib"] > 100 and (run["events"], run["workers"]) == (2000, 1)
    assert not list(tmp_path.iterdir())


def test_a_row_adds_up_what_is_not_shown() -> None:
    shown = ("BehaviorExampleGen", "StatisticsGen", "Transform")
    parts = {name: {"seconds": 2.0, "cpu_seconds": 3.0} for name in (*shown, "ImportSchemaGen", "ExampleValidator")}
    run = {"events": 2000, "workers": 1, "components": parts, "peak_mib": 2048, "transformed_bytes": 5000}
    cell = "2 s, 3 s of CPU"
    assert before_training.as_row(run) == f"| 2,000 | 1 | {cell} | {cell} | {cell} | 6 s of CPU | 2.0 GiB | 2.5 |"


def test_memory_is_that_of_all_processes_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "holder.py").write_text(
        "import os, sys, time\n"
        "def run_child(depth):\n"
        "    if int(depth) and not os.fork():\n"
        "        run_child(int(depth) - 1)\n"
        "        os._exit(0)\n"
        "    held = b'x' * (60 << 20)\n"
        "    time.sleep(3)\n"
        "    print('{\"held\": %d}' % len(held), flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import sys; sys.path.insert(0, sys.argv[1]); import holder; holder.run_child(sys.argv[2])"
    peaks = {}
    for depth in ("0", "1"):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), depth], stdout=subprocess.PIPE, text=True)
        told, peaks[depth] = processes.watched(child)
        assert json.loads(told) == {"held": 60 << 20}
    assert peaks["1"] - peaks["0"] > 55 << 20


def test_a_process_that_fails_is_an_error() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], stdout=subprocess.PIPE, text=True)
    with pytest.raises(RuntimeError, match="exit status 3"):
        processes.watched(child)
