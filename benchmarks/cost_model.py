"""What 1e6, 1e8 and 1e9 users cost in bytes, core-hours and dollars, and what breaks first.

Nothing is measured here: unit costs, each with its source, prices and sizes come from a YAML file,
benchmarks/costs.yaml or your own; what is made of them is in benchmarks/cost_formulas.py.

Run: python -m benchmarks.cost_model [--costs mine.yaml] [--json costs.json] [--docs docs]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.cost_formulas import cost_rows, dollars, limits
from benchmarks.cost_units import DEFAULTS, Costs, Scenario, read_costs
from benchmarks.pages import write_section

PAGE, SECTION = "scale.md", "costs"


def as_markdown(costs: Costs) -> str:
    """The tables of docs/scale.md."""
    parts = [_cost_table(costs, scenario) for scenario in costs.scenarios]
    heads = " | ".join(f"{s.users:.0e}".replace("e+0", "e") for s in costs.scenarios)
    lines = [
        f"| what | breaks at | demand over that, users = {heads} | then |",
        "| --- | --- | " + " | ".join("---:" for _ in costs.scenarios) + " | --- |",
    ]
    for limit in limits(costs):
        times = " | ".join(_times(demand / limit.breaks_at) for demand in limit.demand)
        lines.append(f"| {limit.name} | {_count(limit.breaks_at)} {limit.counted} | {times} | {limit.then} |")
    parts.append("\n".join(lines))
    parts.append("\n".join(["| unit cost | value | from |", "| --- | ---: | --- |", *_unit_lines(costs)]))
    return "\n\n".join(parts)


def _cost_table(costs: Costs, scenario: Scenario) -> str:
    events = scenario.users * costs.workload.events_user
    lines = [
        f"**{_count(scenario.users)} users**, {_count(scenario.items)} items, {_count(events)} events:",
        "",
        "| | bytes | core-hours | $ once | $ a month |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    rows = cost_rows(costs, scenario)
    sums = [0.0, 0.0]
    for row in rows:
        found = dollars(row, costs)
        sums = [total + part for total, part in zip(sums, found)]
        hours = _count(row.core_s / 3600) + (" a month" if row.monthly else "") if row.core_s else ""
        lines.append(f"| {row.name} | {_size(row.stored_bytes)} | {hours} | {_money(found[0])} | {_money(found[1])} |")
    lines.append(f"| all | {_size(sum(r.stored_bytes for r in rows))} | | {_money(sums[0])} | {_money(sums[1])} |")
    return "\n".join(lines)


def _unit_lines(costs: Costs) -> list[str]:
    return [f"| {name} | {_number(unit['value'])} | {unit['source']} |" for name, unit in asdict(costs.units).items()]


def _count(value: float) -> str:
    for size, suffix in ((1e12, "e12"), (1e9, "e9"), (1e6, "e6"), (1e3, ",000")):
        if value >= size:
            return f"{value / size:.3g}{suffix}" if suffix != ",000" else f"{value:,.0f}"
    return f"{value:.3g}"


def _size(value: float) -> str:
    for size, suffix in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {suffix}"
    return f"{value:.0f} B" if value else ""


def _money(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value else ""


def _times(value: float) -> str:
    return f"**{_number(value)} x**" if value > 1 else f"{value:.2g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost_model", description=__doc__.split("\n")[0])
    parser.add_argument("--costs", type=Path, default=DEFAULTS, help="unit costs, prices and sizes, YAML")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--docs", type=Path, help=f"folder of {PAGE}, whose tables are written anew")
    options = parser.parse_args(arguments)
    costs = read_costs(options.costs)
    text = as_markdown(costs)
    print(text)
    if options.json:
        tree = {
            "scenarios": [asdict(s) | {"rows": [asdict(r) for r in cost_rows(costs, s)]} for s in costs.scenarios],
            "limits": [asdict(limit) for limit in limits(costs)],
        }
        options.json.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    if options.docs:
        write_section(options.docs / PAGE, SECTION, text)


if __name__ == "__main__":
    main()
