"""Dashboard and alert rules: structure, and that docs/deployment.md lists each metric and label of a query."""

from __future__ import annotations

import re

import pytest

from tests.serving.deploy_files import DEPLOY, alert_rules, dashboard, documents, table

# What a query may say that is neither a metric nor a label.
FUNCTIONS = {"rate", "sum", "max", "absent", "histogram_quantile"}
WORDS = {"by", "on", "or", "and", "unless", "offset"}
# Given by Prometheus and by histograms, whatever the metric.
COMMON_LABELS = {"job", "instance", "le"}
_IDENTIFIER = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*")
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{([^{}]*)\}")
_MATCHER = re.compile(r'([a-z_]\w*)(?:=~|!~|!=|=)"((?:[^"\\]|\\.)*)"(?:,|$)')


def known_metrics():
    """Metric -> its labels, from the page; a histogram is three."""
    found = {}
    for name, kind, labels, *_ in table("### Metrics"):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for suffix in suffixes:
            found[name.strip("`") + suffix] = set(re.findall(r"`(\w+)`", labels))
    return found


def queries():
    """(where, PromQL) of every rule and panel, with Grafana's variables filled in."""
    yield from ((rule["alert"], rule["expr"]) for rule in alert_rules())
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


QUERIES = list(queries())


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_queries_use_known_metrics_and_labels(where, query):
    known = known_metrics()
    for opening, closing in ("()", "[]", "{}"):
        assert query.count(opening) == query.count(closing)
    text = query
    for metric, matchers in _SELECTOR.findall(query):
        given = _MATCHER.findall(matchers)
        assert ",".join(f for f in re.split(r'"(?:[^"\\]|\\.)*"', matchers)).count("=") == len(given), matchers
        assert {label for label, _ in given} <= known[metric] | COMMON_LABELS, (metric, matchers)
        text = text.replace("{" + matchers + "}", "")
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on) \(([^()]*)\)", text))))
    text = re.sub(r"\b(by|on) \([^()]*\)", r"\1", text)
    text = re.sub(r"\[\w+\]|\boffset \w+", "", text)
    found = set(_IDENTIFIER.findall(text)) - WORDS - FUNCTIONS
    assert found and found <= set(known), found - set(known)
    assert grouped <= set.union(*(known[metric] for metric in found)) | COMMON_LABELS, grouped


def test_the_page_lists_no_metric_that_nothing_asks_for():
    asked = " ".join(query for _, query in QUERIES)
    for name, *_ in table("### Metrics"):
        assert name.strip("`") in asked, name


def test_rates_are_of_counters_and_quantiles_of_buckets():
    kinds = {row[0].strip("`"): row[1] for row in table("### Metrics")}
    for where, query in QUERIES:
        for metric in re.findall(r"rate\(([\w:]+)", query):
            base = re.sub(r"_(bucket|sum|count)$", "", metric)
            assert kinds.get(metric, kinds.get(base)) in ("counter", "histogram"), (where, metric)
        for inner in re.findall(r"histogram_quantile\([\d.]+, (.*)", query):
            assert "le" in re.match(r"sum by \(([^)]*)\)", inner)[1] and "_bucket{" in inner, where


def test_alert_rules():
    rules = alert_rules()
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names)) and {"TfServingErrors", "TfServingSlow", "TfServingNoVersionLoaded"} <= set(
        names
    )
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        # A label in the text must be one that the query's result has.
        for label in re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())):
            kept = re.search(r"by \(([^)]*)\)", rule["expr"])
            assert kept is None or label in kept[1], (rule["alert"], label)
    described = {row[0].strip("`") for row in table("### Alerts")}
    assert described == set(names)


def test_prometheus_reads_the_rules_and_knows_the_jobs():
    (config,) = documents(DEPLOY / "prometheus/prometheus.yml")
    assert set(config) == {"global", "rule_files", "scrape_configs"}
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    asked = set(re.findall(r'job="([\w-]+)"', " ".join(query for _, query in QUERIES)))
    assert asked <= jobs
    known = {"job_name", "metrics_path", "static_configs", "fallback_scrape_protocol"}
    assert all(set(job) <= known for job in config["scrape_configs"])


def test_dashboard_structure():
    found = dashboard()
    assert found["schemaVersion"] >= 39 and re.fullmatch(r"[\w-]{1,40}", found["uid"]) and found["title"]
    variables = {variable["name"]: variable for variable in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in found["panels"]]
    assert len(titles) == len(set(titles))
    used = set()
    for panel in found["panels"]:
        if panel["type"] == "row":
            assert panel["panels"] == []
            continue
        assert panel["type"] in ("timeseries", "stat", "table")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) and references
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            used |= set(re.findall(r"\$(\w+)", target["expr"]))
    assert used - {"__rate_interval"} == set(variables) - {"datasource"}


def test_panels_do_not_overlap():
    taken = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert set(place) == {"x", "y", "w", "h"} and place["w"] > 0 and place["h"] > 0
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{panel['title']} lies over {other}"


def test_latencies_are_shown_in_their_unit():
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            seconds = "_latency_bucket" in target["expr"] and ":tensorflow:" in target["expr"]
            if seconds:
                assert panel["fieldConfig"]["defaults"]["unit"] == "µs", panel["title"]
