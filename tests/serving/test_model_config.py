"""models.config as the real server reads it, and what is said about files that cannot be served."""

from __future__ import annotations

import pytest

from serving import model_config
from serving.config_files import ConfigError
from serving.model_config import read_model_config
from serving.options import ModelSource, ServerOptions

GOOD = """
# Comments are part of the format.
model_config_list {
  config {
    name: "ranker" base_path: "/models/ranker" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
    version_labels { key: "stable" value: 42 }
    version_labels { key: "canary" value: 43 }
  }
  config { name: "all" base_path: "/models/all" model_platform: "tensorflow" model_version_policy { all {} } }
  config {
    name: "some" base_path: "/models/some" model_platform: "tensorflow"
    model_version_policy { specific { versions: 7 versions: 3 } }
  }
  config { name: "plain" base_path: "/models/plain" model_type: TENSORFLOW }
}
"""


def write(folder, text):
    path = folder / "models.config"
    path.write_text(text, encoding="utf-8")
    return path


def one(fields: str, more: str = "") -> str:
    return f"model_config_list {{\n  config {{ {fields} }}\n{more}}}\n"


def test_models_policies_and_labels(tmp_path):
    ranker, everything, some, plain = read_model_config(write(tmp_path, GOOD))
    assert ranker == ModelSource("ranker", "/models/ranker", 2, {"stable": 42, "canary": 43})
    assert everything == ModelSource("all", "/models/all", policy="all")
    assert some == ModelSource("some", "/models/some", policy="specific", versions=(7, 3))
    assert plain == ModelSource("plain", "/models/plain")


@pytest.mark.parametrize(
    ("index", "wanted"),
    [(0, (7, 9)), (1, (1, 3, 7, 9)), (2, (3, 7)), (3, (9,))],
    ids=["latest 2", "all", "some", "none"],
)
def test_which_versions_a_policy_wants(tmp_path, index, wanted):
    source = read_model_config(write(tmp_path, GOOD))[index]
    assert source.wanted((1, 3, 7, 9)) == wanted
    assert source.wanted(()) == ()


BASE = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {\n  config { nmae: 'x' }\n}", r'models\.config:2:\d+ : .*no field named "nmae"'),
        ("model_config_list {\n\n  config {", r"models\.config:3:\d+ : "),
        (one('name: 7 base_path: "/m"'), r"models\.config:2:\d+ : "),
        ("", "expected a model_config_list, found nothing"),
        ("custom_model_config { }", "found custom_model_config"),
        ("model_config_list { }", "model_config_list has no model"),
        (one('base_path: "/m" model_platform: "tensorflow"'), r"config\[0\]\.name is empty"),
        (one(BASE, f"  config {{ {BASE} }}\n"), r"config\[1\]\.name: model 'm' is listed twice"),
        (one('name: "m" base_path: "models/m" model_platform: "tensorflow"'), r"config\[0\]\.base_path is 'models/m'"),
        (one('name: "m" model_platform: "tensorflow"'), r"config\[0\]\.base_path is '', expected an absolute path"),
        (one('name: "m" base_path: "s3://b/m" model_platform: "tensorflow"'), "reads folders only"),
        (one('name: "m" base_path: "/m"'), r"config\[0\]\.model_platform is ''"),
        (one('name: "m" base_path: "/m" model_platform: "torch"'), r"config\[0\]\.model_platform is 'torch'"),
        (one('name: "m" base_path: "/m" model_type: OTHER'), r"model_platform is 'OTHER'"),
        (one(BASE + " model_type: TENSORFLOW"), "are both set"),
        (
            one(BASE + " model_version_policy { specific { } }"),
            r"model_version_policy\.specific\.versions is \[\]",
        ),
        (one(BASE + " model_version_policy { specific { versions: -1 } }"), r"versions is \[-1\]"),
        (one(BASE + ' version_labels { key: "" value: 1 }'), r"config\[0\]\.version_labels: a label is empty"),
    ],
)
def test_what_cannot_be_served(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_model_config(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.config: cannot be read"):
        read_model_config(tmp_path / "absent.config")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_model_config(tmp_path / "binary")


def test_request_logging_is_said_to_have_no_effect(tmp_path, caplog):
    text = one(BASE + " logging_config { sampling_config { sampling_rate: 1.0 } }")
    assert read_model_config(write(tmp_path, text)) == (ModelSource("m", "/m"),)
    assert "logs no requests" in caplog.text


def test_labels_at_the_start_need_the_flag(tmp_path):
    path = write(tmp_path, GOOD)
    found = read_model_config(path)
    with pytest.raises(ConfigError, match="--allow-version-labels-for-unavailable-models"):
        model_config.check_labels_at_start(path, found, allowed=False)
    model_config.check_labels_at_start(path, found, allowed=True)
    model_config.check_labels_at_start(path, found[1:], allowed=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSource("m", "/m", num_versions=0), "num_versions is 0"),
        (lambda: ModelSource("m", "/m", policy="newest"), "policy is 'newest'"),
        (lambda: ServerOptions(max_rows=0), "max_rows is 0"),
        (lambda: ServerOptions(max_queued=-1), "max_queued is -1"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
