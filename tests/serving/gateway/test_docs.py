"""docs/gateway.md: its example runs as printed, and its tables name the real options, metrics, limits and defaults."""

from __future__ import annotations

import re
from pathlib import Path

from seminar_tf.cli.gateway import command
from serving.gateway.client import GatewayClient
from serving.gateway.events import MAX_BYTES
from serving.gateway.metrics import Metrics
from serving.gateway.options import GatewayOptions
from serving.gateway.server import Gateway
from serving.gateway.store import StoreOptions

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")
DEFAULTS = command.make_context("gateway", []).params


def test_the_example_runs(client, store, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    assert "127.0.0.1:8600" in code
    with Gateway(store, client, GatewayOptions(port=0, timeout_s=60.0, default_task="click")) as gateway:
        code = code.replace("127.0.0.1:8600", gateway.address).replace("timeout_s=2.0", "timeout_s=60.0")
        exec(compile(code, "docs/gateway.md", "exec"), {})
        out = capsys.readouterr().out
        assert re.fullmatch(r"(i[123] 0\.\d+ 5 2\n){2}", out)
        with GatewayClient(gateway.address, 60.0) as asking:
            assert asking.delete_user("u1")


def test_the_table_lists_the_options():
    rows = dict(re.findall(r"^\| `--([\w-]+)` \| (.*?) \|", PAGE, re.MULTILINE))
    defaults = {option.opts[-1].lstrip("-"): DEFAULTS[option.name] for option in command.params}
    assert set(rows) == set(defaults)
    words = {"latest version": None, "the only one": "", "none": None, "off": False}
    for name, shown in rows.items():
        plain = shown.strip("`").replace(",", "")
        assert str(words.get(plain, plain)) == str(defaults[name]).removesuffix(".0"), name


def test_defaults_of_the_command_are_those_of_the_options():
    shared = set(DEFAULTS) & set(vars(GatewayOptions()))
    assert {"host", "port", "timeout_s", "history_length", "max_candidates"} < shared
    assert {name: DEFAULTS[name] for name in shared} == {name: getattr(GatewayOptions(), name) for name in shared}
    assert DEFAULTS["max_history"] == StoreOptions().max_history


def test_metrics_and_limits_are_named():
    for family in Metrics().registry.collect():
        assert family.name in PAGE
    for name, limit in MAX_BYTES.items():
        assert re.search(rf"^\| .*({name}|attribute).* \| {limit} bytes", PAGE, re.MULTILINE), name
