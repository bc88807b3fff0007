"""The folder of a state is named by everything the training depends on; its clock outlives a kill."""

import pytest

from seminar_tf.training import state as module
from seminar_tf.training.state import TrainingState, state_key

import tensorflow as tf  # isort: skip

PARTS = ("psu", '{"seed": 1}', ["a.gz:10", "b.gz:20"], "base/1", "c0de")


def test_equal_parts_give_equal_keys():
    assert state_key(*PARTS) == state_key(*PARTS)


def test_any_change_gives_another_key():
    changed = [
        ("seminar", *PARTS[1:]),
        (PARTS[0], '{"seed": 2}', *PARTS[2:]),
        (*PARTS[:2], ["a.gz:10", "b.gz:21"], *PARTS[3:]),
        (*PARTS[:2], ["a.gz:10"], *PARTS[3:]),
        (*PARTS[:3], "base/2", PARTS[4]),
        (*PARTS[:4], "c0df"),
        (*PARTS[:3], "base/1c0de", ""),
    ]
    assert len({state_key(*parts) for parts in [PARTS, *changed]}) == len(changed) + 1


def test_seconds_up_to_a_checkpoint_in_the_middle_of_an_epoch_outlive_a_kill(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def opened() -> TrainingState:
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(1,))])
        model.compile(optimizer="adam")
        model.optimizer.build(model.trainable_variables)
        return TrainingState(tmp_path, model)

    first = opened()
    clock[0] = 107.0
    first.save()
    clock[0] = 120.0  # killed here: these seconds' work is undone
    again = opened()
    assert again.resumed and float(again.seconds) == pytest.approx(7.0)
    clock[0] = 122.5
    again.save()
    assert float(again.seconds) == pytest.approx(9.5)
