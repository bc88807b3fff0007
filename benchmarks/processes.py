"""Steps of benchmarks in processes of their own, and how much memory a process and all below it take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_WATCH_SECONDS = 1.0


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts `run_child(*arguments)` of a module, with its standard output in a pipe and this checkout's code."""
    root = str(Path(__file__).resolve().parents[1])
    code = f"import sys, seminar_tf; from {module} import run_child; run_child(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def ran(module: str, *arguments: str) -> str:
    """What `run_child(*arguments)` of a module prints in a process of its own.

    Raises:
      RuntimeError: it failed.
    """
    child = start(module, *arguments)
    told, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: ended with exit status {child.returncode}; see above.")
    return told


def watched(child: subprocess.Popen[str]) -> tuple[str, int]:
    """Waits for a process.

    Returns:
      The last line that it printed, and the most bytes that it and all below it had resident, looked at every second;
      shared libraries count once a process.

    Raises:
      RuntimeError: it failed, or printed nothing, or nothing is known of its memory.
    """
    peak = 0
    try:
        while True:
            peak = max(peak, tree_bytes(child.pid))
            try:
                told, _ = child.communicate(timeout=_WATCH_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
    finally:
        if child.poll() is None:
            # This process was interrupted: workers that the child has started must not outlive it.
            for pid in [*_below(child.pid), child.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    if child.returncode or not told.strip():
        raise RuntimeError(f"{child.args} ended with exit status {child.returncode}; see above.")
    if not peak:
        raise RuntimeError(f"/proc tells nothing of the memory of {child.args}.")
    return told.splitlines()[-1], peak


def _below(pid: int) -> list[int]:
    """Descendants of a process; none where nothing can be read of it."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in map(int, (thread / "children").read_text().split()):
                    found += [child, *_below(child)]
    return found


def tree_bytes(pid: int) -> int:
    """Resident bytes of a process and its descendants; those that end meanwhile count nothing."""
    total = 0
    for one in (pid, *_below(pid)):
        with contextlib.suppress(OSError, IndexError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def now() -> tuple[float, float]:
    """(wall, CPU) seconds: CPU of this process and of its children that have ended."""
    spent = os.times()
    return time.perf_counter(), spent.user + spent.system + spent.children_user + spent.children_system
