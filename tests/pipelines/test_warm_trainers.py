"""Trainers that start from earlier models: which weights they take, what a warm pass is over, what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines.trainers import common, psu, seminar
from seminar_tf.config import ContinuousConfig
from seminar_tf.config_io import to_json
from seminar_tf.export.restored import restore_ranker
from seminar_tf.features import names
from seminar_tf.features.vocabulary import vocabulary_path
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.warm_start import WarmStartError
from tests.pipelines.trainer_data import CONFIG, SPEC, fn_args, train_both, write_dataset
from tests.training.corpus import make_users


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset with both stages trained on it."""
    root = tmp_path_factory.mktemp("trained")
    train_both(root)
    return root


def warm_config(**model):
    """Starts from an earlier model and takes no step."""
    still = {"warm_epochs": 0}
    return dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, **model),
        psu=dataclasses.replace(CONFIG.psu, **still),
        seminar=dataclasses.replace(CONFIG.seminar, **still),
        continuous=ContinuousConfig(warm_start="last_blessed"),
    )


def test_both_stages_start_from_earlier_models_whose_ids_were_others(trained, tmp_path):
    write_dataset(tmp_path)
    path = vocabulary_path(tmp_path / "graph", names.ITEM_VOCABULARY)
    before = path.read_text().splitlines()
    after = ["new-1", "new-2", *before[:1:-1]]
    path.write_text("\n".join(after) + "\n")
    earlier = {stage: str(trained / stage / "model" / "Format-Serving") for stage in ("psu", "seminar")}
    config = to_json(warm_config())
    psu.run_fn(fn_args(tmp_path, "psu", config=config, warm_model=earlier["psu"]))
    base = str(tmp_path / "psu" / "model" / "Format-Serving")
    seminar.run_fn(fn_args(tmp_path, "seminar", base, config=config, warm_model=earlier["seminar"]))
    for stage in ("psu", "seminar"):
        report = json.loads((tmp_path / stage / "run" / "training.json").read_text())
        assert report["warm_start"] == earlier[stage] and report["epochs"] == 0
    old, new = restore_ranker(earlier["seminar"]), restore_ranker(tmp_path / "seminar" / "model" / "Format-Serving")
    tables = ChannelTables.load(tmp_path / "psu" / "model" / "Format-Serving" / psu.TABLES_FILE)
    assert tables.weights, "the PSU is a pretrained one"
    for row, name in enumerate(after, names.FIRST_ITEM_ID):
        wanted = tables.item[row]
        if name in before:
            wanted = old.pairs.item_table[before.index(name) + names.FIRST_ITEM_ID]
        np.testing.assert_array_equal(new.pairs.item_table[row], wanted, err_msg=name)
    np.testing.assert_array_equal(new.pairs.query_table, old.pairs.query_table)
    np.testing.assert_array_equal(new.heads["click"].wide.kernel, old.heads["click"].wide.kernel)


def test_a_warm_pass_of_the_psu_is_over_windows_with_targets(trained, tmp_path):
    """A day's pass costs as much as the day: only windows that hold a pair from a user's first target on."""
    users = make_users(0)
    for user in users:
        user.targets["train"] = user.targets["train"][-1:]
    write_dataset(tmp_path, users)
    earlier = str(trained / "psu" / "model" / "Format-Serving")
    rows = {}
    for case, changes in {
        "warm": {"warm_epochs": 1},
        "all": {"warm_epochs": 1, "warm_windows": "all"},
        "no pass": {"warm_epochs": 0},
    }.items():
        config = warm_config()
        config = dataclasses.replace(config, psu=dataclasses.replace(config.psu, window_stride=1, **changes))
        psu.run_fn(fn_args(tmp_path, "psu", config=to_json(config), warm_model=earlier))
        rows[case] = json.loads((tmp_path / "psu" / "run" / "training.json").read_text())["rows"]
    whole = sum(user.ends["train"] - 1 for user in users)
    new = sum(user.ends["train"] - user.targets["train"][0].position for user in users)
    assert 0 < new < whole
    assert rows == {"warm": new, "all": whole, "no pass": whole}


def test_a_warm_start_from_another_architecture_is_refused_or_cold(trained):
    earlier = {stage: str(trained / stage / "model" / "Format-Serving") for stage in ("psu", "seminar")}
    for stage in earlier:
        config = warm_config(heads=1)
        with pytest.raises(WarmStartError, match=rf"warm start of {stage} .*model.heads was 2 and is 1.*to cold"):
            common.trainer_inputs(fn_args(trained, stage, config=to_json(config), warm_model=earlier[stage]), stage)
        cold = dataclasses.replace(
            config, continuous=ContinuousConfig(warm_start="last_blessed", other_architecture="cold")
        )
        arguments = fn_args(trained, stage, config=to_json(cold), warm_model=earlier[stage])
        inputs = common.trainer_inputs(arguments, stage)
        assert inputs.warm_model == "" and inputs.train.epochs == getattr(CONFIG, stage).epochs
        with pytest.raises(WarmStartError, match=r"does not exist|No such file"):
            common.trainer_inputs(
                fn_args(trained, stage, config=to_json(config), warm_model=str(trained / "gone")), stage
            )
    numeric = dataclasses.replace(SPEC, numeric=("price",))
    arguments = fn_args(
        trained, "psu", config=to_json(warm_config()), warm_model=earlier["psu"], dataset=to_json(numeric)
    )
    with pytest.raises(WarmStartError, match="numeric item columns were none and are price"):
        common.trainer_inputs(arguments, "psu")
