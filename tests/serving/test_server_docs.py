"""docs/server.md names the options, metrics, events and limits that there are."""

from __future__ import annotations

import re
from pathlib import Path

from seminar_tf.cli.serve import command
from serving.call import Call
from serving.metrics import Metrics
from serving.options import DEFAULT_COLUMNS, ServerOptions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")


def test_every_option_is_there():
    written = set(re.findall(r"`(--?[a-z][a-z-]*)`", PAGE.partition("## Models and versions")[0]))
    real = {option for parameter in command.params for option in parameter.opts if option != "--verbose"}
    assert written == real


def test_every_metric_is_there():
    metrics = Metrics(lambda: 0, lambda: [("ranker", 1)])
    call = Call("Predict", None, arrived=0.0, request_bytes=1)
    call.model = "ranker"
    call.mark("run")
    metrics.finished(call, "OK")
    real = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    written = set(
        re.findall(r"^\| `([:\w]+)`.*\|$", PAGE.partition("## Metrics")[2].partition("## Logs")[0], re.MULTILINE)
    )
    for name in written:
        # Counters by status have no sample before their first one.
        seen = {name, f"{name}_count"} & real or name.startswith(
            ("seminar_serving_version_loads", "seminar_serving_config")
        )
        assert seen, name
    ours = {name for name in real if not name.startswith("process_") and not name.endswith("_created")}
    assert {re.sub("_(bucket|sum|count)$", "", n) if "latency" in n else n for n in ours} <= written


def test_every_event_is_there():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "serving").glob("*.py"))
    real = set(re.findall(r'"event": "(\w+)"', source))
    line = PAGE.partition("Events: ")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", line)) == real


def test_the_limits_are_the_defaults():
    options = ServerOptions()
    table = PAGE.partition("## Limits")[2].partition("## Status codes")[0]
    found = [cells[1] for cells in re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)[2:]]
    assert found == [
        f"{options.max_message_bytes >> 20} MiB",
        *(
            f"{number:,}"
            for number in (
                DEFAULT_COLUMNS["candidate_item_id"],
                DEFAULT_COLUMNS["history_item_id"],
                DEFAULT_COLUMNS["user_attributes"],
                options.max_rows,
                options.max_scores,
                options.max_elements,
                options.max_string_bytes,
                options.max_queued,
            )
        ),
    ]
