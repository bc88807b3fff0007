"""Freed memory stays in the process: page faults of repeated large allocations, counted in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
