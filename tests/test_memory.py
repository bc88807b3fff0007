"""Freed memory stays in the process: page faults of repeated large allocations, counted in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import json, resource
import numpy as np
from seminar_tf.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.full(6_000_000, 1.0)  # 48 MB: above glibc's largest threshold for a mapping of its own
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
without = faults()
kept = keep_freed_memory()
faults()
print(json.dumps([kept, without, faults()]))
"""


_RETURNED = """
import json, re
import numpy as np
from seminar_tf.memory import keep_freed_memory, return_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) >> 10

keep_freed_memory()
blocks = [np.full(6_000_000, 1.0) for _ in range(5)]
full = resident()
del blocks
kept = resident()
print(json.dumps([return_freed_memory(), full, kept, resident()]))
"""


_ARENAS = """
import ctypes, sys, threading
from seminar_tf.memory import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
assert keep_freed_memory(int(sys.argv[1]) if len(sys.argv) > 2 else None)
barrier = threading.Barrier(6)

def allocate():
    libc.malloc(100)
    barrier.wait()

threads = [threading.Thread(target=allocate) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[-1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def _run(script: str = _SCRIPT, **environment: str) -> list:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_large_blocks_are_not_mapped_anew() -> None:
    kept, without, with_it = _run()
    assert kept is True
    # 48 MB are 11,700 pages; huge pages would make it fewer, in both.
    assert without > 100 and with_it < without / 20


@pytest.mark.parametrize("variable", ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"])
def test_who_has_chosen_already_is_left_alone(variable: str) -> None:
    assert _run(**{variable: "2"})[0] is False


def test_freed_memory_goes_back_when_told() -> None:
    returned, full, kept, after = _run(_RETURNED)
    assert returned is True
    # 229 MiB were freed: kept by the first setting, gone after the call.
    assert kept > full - 20 and after < kept - 200


@pytest.mark.parametrize(("arguments", "least", "most"), [((), 6, 8), (("2",), 1, 2)])
def test_threads_share_heaps(arguments: tuple[str, ...], least: int, most: int, tmp_path: Path) -> None:
    """Six threads that allocate at once have a heap each, or as many as are allowed."""
    report = tmp_path / "malloc.xml"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    subprocess.run([sys.executable, "-c", _ARENAS, *arguments, str(report)], env=clean, check=True)
    assert least <= report.read_text(encoding="ascii").count("<heap nr=") <= most
