"""What a training step keeps for its backward pass does not grow with L: the GSU holds no activations."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.models import toy

# A length that no other axis of the toy model has.
LENGTH = 37


def _kept(changes: dict, length: int) -> list[tf.Tensor]:
    """Float tensors that the forward pass hands to the backward pass.

    A function differentiated from outside returns, beside its result, whatever its gradient will need.
    """
    model = toy.seminar(**changes)
    batch = {name: tf.constant(value) for name, value in toy.batch(1, length=length).items()}
    loss = tf.function(lambda: model.compute_losses(batch, tf.constant([1, 2]))["click"], autograph=False)

    @tf.function(autograph=False)
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, model.trainable_variables)
        return [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]

    calls = [op for op in step.get_concrete_function().graph.get_operations() if "PartitionedCall" in op.type]
    forward = next(op for op in calls if "gradient" not in op.name)
    assert len(calls) >= 2 and len(forward.outputs) > 1
    return [tensor for tensor in forward.outputs if tensor.dtype.is_floating]


@pytest.mark.parametrize("changes", [{"share_gsu_esu": True}, {"top_k_per_head": True}])
def test_nothing_of_the_length_of_the_history_is_kept(changes: dict) -> None:
    kept = _kept(changes, LENGTH)
    assert kept and all(tensor.shape.is_fully_defined() for tensor in kept)
    assert [tensor for tensor in kept if LENGTH in tensor.shape.as_list()] == []


def test_size_kept_is_the_same_for_every_length() -> None:
    sizes = [sum(tensor.shape.num_elements() for tensor in _kept({}, length)) for length in (LENGTH, 3 * LENGTH)]
    assert sizes[0] == sizes[1]
