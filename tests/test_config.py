"""Configuration: what is read from YAML and JSON, and what every wrong value is told."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from seminar_tf import config, config_io
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import ConfigError

CONFIGS = sorted((Path(__file__).parents[1] / "pipelines" / "configs").glob("*.yaml"))


def _yaml(tmp_path, text, overrides=()):
    (tmp_path / "c.yaml").write_text(text)
    return config_io.from_yaml(PipelineConfig, tmp_path / "c.yaml", overrides)


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert _yaml(tmp_path, "") == PipelineConfig()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configs_that_are_shipped_are_valid(path):
    assert config_io.from_yaml(PipelineConfig, path).name


@pytest.mark.parametrize("name, length, kept", [("kuaisar", 1000, 200), ("amazon-movies-tv", 100, 50)])
def test_the_configs_of_the_papers_datasets_hold_its_settings(name, length, kept):
    read = config_io.from_yaml(PipelineConfig, CONFIGS[0].with_name(f"{name}.yaml"))
    assert (read.model.history_length, read.model.top_k, read.model.dim, read.model.heads) == (length, kept, 64, 4)
    for stage in (read.psu, read.seminar):
        assert (stage.epochs, stage.batch_size, stage.learning_rate) == (1, 256, 1e-3)
    assert (read.data.split, read.data.targets) == ("leave_last_out", "events")
    measured = read.evaluation
    assert (measured.candidates, measured.negatives, measured.exclude_history) == ("sampled", 99, True)
    assert measured.cutoffs == (5, 10, 50)


def test_values_reach_their_fields(tmp_path):
    text = "name: x\nmodel: {channels: [text], top_k: 7}\npsu: {epochs: 3}\nseminar: {clip_norm: 2}\nseed: 0\n"
    read = _yaml(tmp_path, text)
    assert (read.name, read.model.channels, read.model.top_k, read.seed) == ("x", ("text",), 7, 0)
    assert (read.psu.epochs, read.seminar.epochs, read.seminar.clip_norm) == (3, 1, 2.0)
    assert type(read.seminar.clip_norm) is float


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.001", "1.0e-3", "'0.001'"])
def test_a_float_may_be_written_as_people_write_it(tmp_path, written):
    assert _yaml(tmp_path, f"psu: {{learning_rate: {written}}}").psu.learning_rate == 1e-3


@pytest.mark.parametrize(
    "text, message",
    [
        ("modle: {}", "config key modle: unknown. Did you mean 'model'?"),
        ("model: {topk: 5}", "config key model.topk: unknown. Did you mean 'top_k'?"),
        ("model: {zzz: 5}", "config key model.zzz: unknown. Known keys: channels, cross_layers"),
        ("model: {top_k: many}", "config key model.top_k: expected int, found str 'many'"),
        ("model: {top_k: 5.0}", "config key model.top_k: expected int, found float 5.0"),
        ("model: {top_k: true}", "config key model.top_k: expected int, found bool True"),
        ("model: {use_gate: 1}", "config key model.use_gate: expected bool, found int 1"),
        ("psu: {learning_rate: fast}", "config key psu.learning_rate: expected float, found str 'fast'"),
        ("psu: {learning_rate: true}", "config key psu.learning_rate: expected float, found bool True"),
        ("model: {channels: text}", "config key model.channels: expected a list, found 'text'"),
        ("model: {hidden_units: [8, a]}", "config key model.hidden_units[1]: expected int, found str 'a'"),
        ("model: 3", "config key model: expected a mapping, found 3"),
        ("- a", "config key top level: expected a mapping"),
        ("name: [", "is not valid YAML"),
    ],
)
def test_wrong_keys_and_types_are_told_with_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        _yaml(tmp_path, text)
    assert "c.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "key, value",
    [
        ("name", "a b"),
        ("name", ""),
        ("seed", -1),
        ("data.split", "random"),
        ("data.targets", "all"),
        ("data.target_spans", "oldest"),
        ("data.eval_spans", "oldest"),
        ("data.window_spans", -1),
        ("continuous.warm_start", "always"),
        ("continuous.other_architecture", "guess"),
        ("drift.action", "panic"),
        ("drift.categorical", ["price"]),
        ("drift.numeric", ["item_id"]),
        ("drift.max_l_infinity", 0),
        ("drift.max_jensen_shannon", 2),
        ("drift.min_events", 0),
        ("psu.warm_epochs", -2),
        ("psu.warm_windows", "new"),
        ("data.min_history", 0),
        ("data.partitions", 0),
        ("data.max_targets_per_user", -1),
        ("features.max_item_vocabulary", 0),
        ("features.query_oov_buckets", 0),
        ("features.image_size", -1),
        ("model.history_length", 0),
        ("model.heads", 5),
        ("model.dropout", 1.0),
        ("model.dropout", math.nan),
        ("model.short_length", -1),
        ("model.cross_layers", -1),
        ("model.hidden_units", [64, 0]),
        ("model.channels", []),
        ("model.channels", ["text", "sound"]),
        ("model.ranker", "dien"),
        ("model.rivals.attention_units", 0),
        ("model.rivals.hash_bits", 0),
        ("model.rivals.hash_bits", 129),
        ("model.rivals.sdim_hashes", 49),
        ("model.rivals.sdim_hashes", 0),
        ("model.rivals.sdim_width", 9),
        ("model.rivals.qin_query_k", 0),
        ("model.rivals.sasrec_blocks", 0),
        ("psu.epochs", -1),
        ("psu.align_weight", -1.0),
        ("psu.next_pair_windows", 0),
        ("seminar.batch_size", 0),
        ("seminar.learning_rate", 0.0),
        ("seminar.learning_rate", math.nan),
        ("seminar.clip_norm", -1.0),
        ("seminar.patience", -1),
        ("seminar.max_eval_requests", -1),
        ("evaluation.candidates", "some"),
        ("evaluation.negatives", 0),
        ("evaluation.cutoffs", [5]),
        ("evaluation.cutoffs", [0, 10]),
        ("evaluation.max_requests", -1),
        ("evaluation.max_log_loss_rise", -0.1),
        ("evaluation.max_expected_error", 0.0),
        ("serving.model_name", ""),
        ("serving.warmup_candidates", [0]),
        ("serving.signatures", ["rank_indexed", "predict"]),
        ("serving.signatures", ["serving_default"]),
    ],
)
def test_a_value_out_of_range_is_told_by_the_key_that_holds_it(key, value):
    tree = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    with pytest.raises(ConfigError, match=rf"config key {re.escape(key)}: expected .*, found "):
        config_io.from_dict(PipelineConfig, tree)


@pytest.mark.parametrize(
    "model, key",
    [
        ({"ranker": "din"}, "retrieval.tables"),
        ({"ranker": "eta", "top_k_per_head": True}, "model.top_k_per_head"),
        ({"ranker": "twin", "share_gsu_esu": True}, "model.share_gsu_esu"),
        ({"ranker": "sim_hard", "rivals": {"category_prefix": ""}}, "model.rivals.category_prefix"),
        ({"ranker": "qin", "top_k": 201}, "model.rivals.qin_query_k"),
        ({"ranker": "qin", "use_query": False}, "model.use_query"),
        ({"ranker": "sasrec", "short_length": 0}, "model.short_length"),
    ],
)
def test_what_a_rival_cannot_use_is_told(model, key):
    with pytest.raises(ConfigError, match=rf"config key {re.escape(key)}: expected .*{model['ranker']}"):
        config_io.from_dict(PipelineConfig, {"model": model})


@pytest.mark.parametrize("ranker", config.RANKERS)
def test_every_ranker_can_be_named(ranker):
    tree = {"model": {"ranker": ranker, "rivals": {"category_prefix": "genre="}}, "retrieval": {"tables": "float"}}
    assert config_io.from_dict(PipelineConfig, tree).model.ranker == ranker


@pytest.mark.parametrize(
    "first, second, ok", [(0, 0, False), (5, 5, False), (7, 5, False), (0, 5, False), (5, 7, True)]
)
def test_a_split_by_time_needs_its_two_moments_in_order(first, second, ok):
    tree = {"split": "time", "eval_from_ms": first, "test_from_ms": second}
    if ok:
        assert config_io.from_dict(config.DataConfig, tree).test_from_ms == second
    else:
        with pytest.raises(ConfigError, match=r"data\.eval_from_ms"):
            config_io.from_dict(config.DataConfig, tree)


def test_json_round_trip_is_canonical():
    one = config_io.from_dict(PipelineConfig, {"model": {"channels": ["text"]}, "seed": 7, "psu": {"epochs": 2}})
    other = config_io.from_dict(PipelineConfig, {"psu": {"epochs": 2}, "seed": 7, "model": {"channels": ["text"]}})
    text = config_io.to_json(one)
    assert text == config_io.to_json(other)
    assert config_io.from_json(PipelineConfig, text) == one
    assert config_io.to_json(PipelineConfig()) != text


def test_overrides_take_precedence_over_the_file(tmp_path):
    overrides = ["seminar.epochs=3", "data.path=/x", "model.channels=[text, image]", "seminar.learning_rate=1e-4"]
    read = _yaml(tmp_path, "seminar: {epochs: 9, batch_size: 8}", overrides)
    assert (read.seminar.epochs, read.seminar.batch_size, read.data.path) == (3, 8, "/x")
    assert (read.model.channels, read.seminar.learning_rate) == (("text", "image"), 1e-4)


@pytest.mark.parametrize(
    "override, message",
    [
        ("epochs", "expected dotted.key=value"),
        ("=3", "expected dotted.key=value"),
        ("seminar.epoch=3", "Did you mean 'epochs'?"),
        ("name.x=3", "name is not a mapping"),
        ("seed=[", "the value is not YAML"),
    ],
)
def test_a_wrong_override_is_told(tmp_path, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        _yaml(tmp_path, "name: x", [override])


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        config_io.from_yaml(PipelineConfig, tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        config_io.from_yaml(PipelineConfig, tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        config_io.from_yaml(PipelineConfig, tmp_path / "latin.yaml")


@pytest.mark.parametrize("section", [f.name for f in dataclasses.fields(PipelineConfig)])
def test_every_section_is_frozen(section):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(PipelineConfig(), section, None)


@pytest.mark.parametrize(
    "cls", [c for c in vars(config).values() if dataclasses.is_dataclass(c)], ids=lambda cls: cls.__name__
)
def test_every_key_is_documented(cls):
    missing = [f.name for f in dataclasses.fields(cls) if not re.search(rf"\b{f.name}\b", cls.__doc__)]
    assert cls is PipelineConfig or not missing
