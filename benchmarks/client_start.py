"""Seconds that the clients' imports take in a fresh interpreter; exits with 1 where the median is a second or more.

Run on an idle machine: python -m benchmarks.client_start [--runs 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

_MODULES = ("serving.client", "serving.aio_client", "seminar_tf.export.inputs")
_LIMIT_S = 1.0
_CODE = "import importlib, sys, time; s = time.monotonic(); importlib.import_module(sys.argv[1]); "
_CODE += "print(time.monotonic() - s)"


def measure(module: str, runs: int) -> list[float]:
    """Seconds of each run. One more comes first, which fills the file cache and does not count."""
    command = [sys.executable, "-c", _CODE, module]
    return [float(subprocess.check_output(command)) for _ in range(runs + 1)][1:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    slow = 0
    for module in _MODULES:
        seconds = measure(module, runs)
        median = statistics.median(seconds)
        slow += median >= _LIMIT_S
        print(f"{module:<26} median {median:.2f} s  min {min(seconds):.2f}  max {max(seconds):.2f}  ({runs} runs)")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
