"""The clients, and what makes their requests, start without TensorFlow. How fast: `benchmarks.client_start`."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "tf_keras", "keras", "pandas", "tfx", "tfx_bsl", "apache_beam", "pyarrow", "tensorflow_serving")
CODE = f"""
import importlib, sys, time
start = time.monotonic()
importlib.import_module(sys.argv[1])
print(f"{{sys.argv[1]}}: {{time.monotonic() - start:.2f}} s")
heavy = sorted(set({HEAVY!r}) & {{name.partition(".")[0] for name in sys.modules}})
sys.exit(f"{{sys.argv[1]}} imports {{', '.join(heavy)}}" if heavy else 0)
"""


@pytest.mark.parametrize("module", ["serving.client", "serving.aio_client", "seminar_tf.export.inputs"])
def test_nothing_heavy_is_imported(module):
    # Not captured: pytest shows the seconds when asked (-s).
    done = subprocess.run([sys.executable, "-c", CODE, module], stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_check_finds_what_is_heavy(tmp_path):
    (tmp_path / "pandas.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", CODE, "pandas"], stderr=subprocess.PIPE, text=True, timeout=300, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (1, "pandas imports pandas\n")
