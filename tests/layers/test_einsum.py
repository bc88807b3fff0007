"""Every tf.einsum of the library, as NumPy computes it, on the CPU at hand.

TensorFlow 2.16 takes oneDNN's kernels where the CPU has AVX-512 VNNI and others elsewhere. Those of oneDNN are wrong,
without a word, for `...j,jh->...h` when the ellipsis stands for three axes: an equation with an ellipsis is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seminar_tf.layers.cross_feature_bias import CrossFeatureBias
from seminar_tf.layers.recency_bias import RecencyBias

import tensorflow as tf  # isort: skip

LIBRARY = Path(__file__).resolve().parents[2] / "seminar_tf"


def einsums() -> Iterator[tuple[str, ast.expr]]:
    """(file and line, first argument) of every call of tf.einsum."""
    for file in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "tf.einsum":
                yield f"{file.relative_to(LIBRARY)}:{node.lineno}", node.args[0]


CALLS = dict(einsums())
EQUATIONS = sorted({node.value for node in CALLS.values() if isinstance(node, ast.Constant)})


def test_equations_are_written_out():
    assert CALLS
    wrong = [place for place, node in CALLS.items() if not isinstance(node, ast.Constant) or "..." in node.value]
    assert not wrong, f"tf.einsum wants an equation that is a string without an ellipsis: {wrong}"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_equation_is_numpys(equation: str, seed: int):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        sizes = {axis: int(rng.integers(1, 12)) for axis in equation if axis.isalpha()}
        shapes = [[sizes[axis] for axis in part] for part in equation.partition("->")[0].split(",")]
        arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        np.testing.assert_allclose(tf.einsum(equation, *arrays), np.einsum(equation, *arrays), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(7,), (5, 6), (6, 20, 12), (2, 3, 4, 5)])
def test_a_bias_of_cross_features_is_a_sum_of_products(shape: tuple[int, ...]):
    rng = np.random.default_rng(len(shape))
    layer = CrossFeatureBias(heads=3, seed=1)
    gap = rng.integers(0, 10**9, shape)
    position = rng.integers(0, 200, shape).astype(np.int32)
    query, category = rng.integers(0, 2, shape, dtype=np.int32), rng.integers(0, 2, shape, dtype=np.int32)
    layer.build(None)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    values = {weight.name.partition(":")[0].rpartition("/")[2]: weight.numpy() for weight in layer.weights}
    picked = (
        values["query_values"][query],
        values["gap_values"][RecencyBias.gap_bucket(gap).numpy()],
        values["position_values"][RecencyBias.position_bucket(position).numpy()],
        values["category_values"][category],
    )
    wanted = sum(part[..., np.newaxis] * beta for part, beta in zip(picked, values["beta"], strict=True))
    found = layer(gap, position, query > 0, category > 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
