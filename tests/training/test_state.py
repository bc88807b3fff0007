"""The folder of a state is named by everything the training depends on."""

from seminar_tf.training.state import state_key

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
