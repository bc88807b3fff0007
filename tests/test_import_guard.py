"""Which Keras a process ends up with. Each case is a process of its own, with a stand-in for TensorFlow: what counts
is what is loaded before seminar_tf, and loading the real thing takes seconds."""

import os
import subprocess
import sys

import pytest

KERAS_3 = "import sys, types; sys.modules['keras'] = types.SimpleNamespace(__version__='3.4.1'); "
KERAS_2 = KERAS_3.replace("3.4.1", "2.15.0")
TENSORFLOW = "sys.modules['tensorflow'] = types.SimpleNamespace(); "
IMPORT = "import os, seminar_tf; print(os.environ['TF_USE_LEGACY_KERAS'])"


def _python(code, **environment):
    kept = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return subprocess.run([sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize(
    "code, environment",
    [
        (IMPORT, {}),
        (IMPORT, {"TF_USE_LEGACY_KERAS": "1"}),
        (IMPORT, {"TF_USE_LEGACY_KERAS": "True"}),
        (KERAS_2 + TENSORFLOW + IMPORT, {}),
        # Keras 3 was loaded by TensorFlow's own dependencies, but tf.keras is the legacy one.
        (KERAS_3 + TENSORFLOW + IMPORT, {"TF_USE_LEGACY_KERAS": "1"}),
    ],
)
def test_import_settles_on_legacy_keras(code, environment):
    ran = _python(code, **environment)
    assert (ran.returncode, ran.stdout.strip()) == (0, "1"), ran.stderr


def test_keras_3_loaded_first_is_an_import_error_with_advice():
    ran = _python(KERAS_3 + TENSORFLOW + IMPORT)
    assert ran.returncode == 1
    assert "ImportError: seminar_tf needs Keras 2" in ran.stderr
    assert "Import seminar_tf before tensorflow" in ran.stderr


@pytest.mark.parametrize("asked", ["0", "false", ""])
def test_an_environment_that_asks_for_keras_3_is_an_import_error_with_advice(asked):
    ran = _python(IMPORT, TF_USE_LEGACY_KERAS=asked)
    assert ran.returncode == 1
    assert f"TF_USE_LEGACY_KERAS={asked!r} asks for Keras 3" in ran.stderr
    assert "Unset it or set TF_USE_LEGACY_KERAS=1" in ran.stderr


def test_the_real_tensorflow_with_keras_3_loaded_first_is_refused():
    ran = _python("import tensorflow as tf; tf.keras.layers; import seminar_tf", TF_CPP_MIN_LOG_LEVEL="2")
    assert ran.returncode == 1
    assert "Import seminar_tf before tensorflow" in ran.stderr
