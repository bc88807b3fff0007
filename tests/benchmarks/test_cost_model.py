"""The cost model against sums done by hand, its proportions, and that docs/scale.md shows what it says."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks import cost_model
from benchmarks.cost_formulas import Row, cost_rows, dollars, limits
from benchmarks.cost_units import DEFAULTS, Costs, Scenario, Unit, read_costs
from seminar_tf.config_io import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def costs() -> Costs:
    return read_costs()


def rows(costs: Costs, users: float, items: float) -> dict[str, Row]:
    return {row.name: row for row in cost_rows(costs, Scenario(users, items))}


def with_unit(costs: Costs, name: str, value: float) -> Costs:
    return dataclasses.replace(costs, units=dataclasses.replace(costs.units, **{name: Unit(value, "here")}))


def test_rows_are_the_sums_done_by_hand(costs):
    costs = with_unit(with_unit(costs, "table_bytes_event", 10.0), "serve_core_s_request", 0.5)
    costs = with_unit(with_unit(costs, "gateway_core_s_request", 0.25), "adam_core_s_row_step", 1e-6)
    workload = dataclasses.replace(costs.workload, events_user=100, targets_user=25.6, requests_user_day=2)
    found = rows(dataclasses.replace(costs, workload=workload), users=1000, items=50)
    assert found["canonical tables"].stored_bytes == pytest.approx(1000 * 100 * 10)
    assert found["serving"].core_s == pytest.approx(1000 * 2 * 30 * 0.75) and found["serving"].monthly
    # 25,600 examples are 100 steps of 256, each over 50 rows.
    assert found["more with tables trained"].core_s == pytest.approx(100 * 50 * 1e-6)
    assert found["served tables, fused"].stored_bytes == pytest.approx(50 * costs.units.fused_bytes_item.value)


def test_money_is_cpu_once_and_storage_by_the_month(costs):
    costs = dataclasses.replace(costs, prices=dataclasses.replace(costs.prices, core_hour=2.0, gb_month=3.0))
    once = Row("x", stored_bytes=2e9, core_s=1800)
    assert dollars(once, costs) == pytest.approx((1.0, 6.0))
    assert dollars(dataclasses.replace(once, monthly=True), costs) == pytest.approx((0.0, 7.0))


def test_twice_the_users_cost_twice_but_for_what_is_fixed(costs):
    one, two = rows(costs, 1e8, 1e6), rows(costs, 2e8, 1e6)
    for name, row in one.items():
        fixed = name in ("evaluation, full catalog", "served tables, fused")
        times = 1 if fixed else 2
        assert two[name].stored_bytes == pytest.approx(times * row.stored_bytes)
        assert two[name].core_s == pytest.approx(times * row.core_s, rel=1e-3)


def test_what_breaks_first_comes_first_and_follows_the_units(costs):
    found = limits(costs)
    over = [limit.demand[0] / limit.breaks_at for limit in found]
    assert over == sorted(over, reverse=True) and over[0] > 1
    by_name = {limit.name: limit for limit in found}
    fused = by_name["served tables, fused"]
    assert fused.breaks_at == pytest.approx(costs.machine.memory_gb * 1e9 / costs.units.fused_bytes_item.value)
    assert fused.demand == tuple(scenario.items for scenario in costs.scenarios)
    # A last name for what was first, once it costs next to nothing.
    name, unit = "Adam over all item rows takes as long as the rest of a step", "adam_core_s_row_step"
    cheap = {limit.name: limit for limit in limits(with_unit(costs, unit, 1e-15))}
    assert by_name[name].demand[0] > by_name[name].breaks_at and cheap[name].demand[-1] < cheap[name].breaks_at


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tree: tree["units"].pop("serve_core_s_request"), "config key units.serve_core_s_request: missing"),
        (lambda tree: tree["units"].update(speed=1), "config key units.speed: unknown"),
        (
            lambda tree: tree["units"]["store_appends_s"].update(source=""),
            "units.store_appends_s.source: expected where",
        ),
        (
            lambda tree: tree["units"]["store_appends_s"].update(value=0),
            "units.store_appends_s.value: expected a number",
        ),
        (lambda tree: tree["prices"].update(gb_month=-1), "config key prices.gb_month: expected a number above 0"),
        (lambda tree: tree.update(scenarios=[]), "config key scenarios: expected at least one"),
        (lambda tree: tree["scenarios"][1].update(users="many"), "config key scenarios[1].users: expected float"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_key(tmp_path, change, message):
    tree = yaml.safe_load(DEFAULTS.read_text())
    change(tree)
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_costs(mine)


def test_a_readers_own_numbers_go_through_the_command(tmp_path, capsys):
    tree = yaml.safe_load(DEFAULTS.read_text())
    tree["scenarios"] = [{"users": 1000.0, "items": 10.0}]
    mine, written = tmp_path / "mine.yaml", tmp_path / "costs.json"
    mine.write_text(yaml.safe_dump(tree))
    page = tmp_path / cost_model.PAGE
    page.write_text("before\n<!-- costs -->\nold\n<!-- end of costs -->\nafter\n")
    cost_model.main(["--costs", str(mine), "--json", str(written), "--docs", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "**1,000 users**, 10 items" in printed and printed.strip() in page.read_text()
    found = json.loads(written.read_text())
    assert found["scenarios"][0]["users"] == 1000 and len(found["limits"]) == len(limits(read_costs(mine)))


def test_the_page_shows_what_the_file_says(costs):
    page = (ROOT / "docs" / cost_model.PAGE).read_text()
    assert cost_model.as_markdown(costs) in page
