"""What unit costs add up to: costs grow in proportion to what is counted, which is all that these formulas say."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cost_units import Costs, Scenario

_DAY_S = 86_400.0
_MONTH_DAYS = 30.0


@dataclass(frozen=True)
class Row:
    """A cost of one scenario.

    Attributes:
      name: what costs.
      stored_bytes: kept, and paid by the month.
      core_s: CPU seconds: once, or by the month where `monthly`.
      monthly: whether CPU is used again each month.
    """

    name: str
    stored_bytes: float = 0.0
    core_s: float = 0.0
    monthly: bool = False


@dataclass(frozen=True)
class Limit:
    """Something that one machine, or one process, holds only so much of.

    Attributes:
      name: what breaks.
      counted: unit of `breaks_at`.
      breaks_at: how much of it there may be.
      demand: how much there is, by scenario.
      then: what to do beyond.
    """

    name: str
    counted: str
    breaks_at: float
    demand: tuple[float, ...]
    then: str


def cost_rows(costs: Costs, scenario: Scenario) -> list[Row]:
    """What a scenario costs, row by row: storage, a run of the pipeline over the whole log, a month of serving."""
    u, w = costs.units, costs.workload
    events = scenario.users * w.events_user
    examples = scenario.users * w.targets_user
    requests = scenario.users * w.requests_user_day * _MONTH_DAYS
    steps = examples / u.train_examples_step.value
    histories = scenario.users * min(w.events_user, w.history)
    return [
        Row("canonical tables", stored_bytes=events * u.table_bytes_event.value),
        Row(
            "ingestion",
            stored_bytes=events * u.segment_bytes_event.value,
            core_s=events * u.ingest_core_s_event.value + u.fixed_core_s.value,
        ),
        Row("StatisticsGen", core_s=events * u.statistics_core_s_event.value),
        Row(
            "Transform",
            stored_bytes=events * u.transformed_bytes_event.value,
            core_s=events * u.transform_core_s_event.value,
        ),
        Row("pretraining, one pass", core_s=events * u.pretrain_core_s_pair.value),
        Row("fine-tuning, tables frozen", core_s=examples * u.train_core_s_example.value),
        Row("more with tables trained", core_s=steps * scenario.items * u.adam_core_s_row_step.value),
        Row(
            "evaluation, full catalog",
            core_s=min(w.evaluated_users, scenario.users) * scenario.items * u.rank_core_s_pair.value,
        ),
        Row("served tables, fused", stored_bytes=scenario.items * u.fused_bytes_item.value),
        Row("history store", stored_bytes=histories * u.store_bytes_pair.value),
        Row(
            "serving",
            core_s=requests * (u.serve_core_s_request.value + u.gateway_core_s_request.value),
            monthly=True,
        ),
    ]


def limits(costs: Costs) -> list[Limit]:
    """What breaks, in the order in which it does: by demand over limit in the first scenario."""
    u, w, m = costs.units, costs.workload, costs.machine
    memory, worker = m.memory_gb * 1e9, m.memory_gb * 1e9 / m.cores
    seconds = m.patience_hours * 3600 * m.cores
    users = [s.users for s in costs.scenarios]
    items = [s.items for s in costs.scenarios]
    events = [count * w.events_user for count in users]
    history_bytes = w.history * w.dim * 4
    peak = w.peak / _DAY_S
    found = [
        Limit(
            "Adam over all item rows takes as long as the rest of a step",
            "items",
            u.train_core_s_example.value * u.train_examples_step.value / u.adam_core_s_row_step.value,
            tuple(items),
            "model.freeze_tables, larger batches, or strategy parameter_server",
        ),
        Limit(
            "beam.runner direct, all in one process's memory",
            "events",
            memory / u.direct_memory_bytes_event.value,
            tuple(events),
            "beam.runner flink, spark",
        ),
        Limit(
            "one partition of users in one worker",
            "events",
            m.partitions * worker / u.partition_memory_bytes_event.value,
            tuple(events),
            "data.partitions, in proportion",
        ),
        Limit(
            "known item ids in every ingestion worker",
            "items",
            worker / u.known_id_bytes_item.value,
            tuple(items),
            "fewer, larger workers",
        ),
        Limit(
            "items with an id of their own",
            "items",
            m.max_items,
            tuple(items),
            "features.max_item_vocabulary, or leave the tail to shared buckets",
        ),
        Limit(
            "tables with Adam's moments on one host",
            "items",
            memory / u.adam_bytes_item.value,
            tuple(items),
            "strategy parameter_server; but the exporting host still holds the tables once",
        ),
        Limit(
            "ranking every test user's full catalog",
            "pairs",
            seconds / u.rank_core_s_pair.value,
            tuple(user * item for user, item in zip(users, items)),
            "evaluation.max_requests; candidates sampled",
        ),
        Limit(
            "training on every user's targets on one machine",
            "examples",
            seconds / u.train_core_s_example.value,
            tuple(count * w.targets_user for count in users),
            "strategy multi_worker; data.target_spans newest",
        ),
        Limit("served tables, float", "items", memory / u.float_bytes_item.value, tuple(items), "tables fused"),
        Limit("served tables, fused", "items", memory / u.fused_bytes_item.value, tuple(items), "tables codes"),
        Limit("served tables, codes", "items", memory / u.codes_bytes_item.value, tuple(items), "shards: not here"),
        Limit(
            "search keys kept for every user (not done here)",
            "users",
            memory / history_bytes,
            tuple(users),
            "what is done: keys are made from item tables at each request",
        ),
        Limit(
            "requests of one machine",
            "a second at peak",
            m.cores / (u.serve_core_s_request.value + u.gateway_core_s_request.value),
            tuple(count * w.requests_user_day * peak for count in users),
            "more replicas: they share nothing",
        ),
        Limit(
            "appends of one SQLite store",
            "a second at peak",
            u.store_appends_s.value,
            tuple(count * w.events_user_day * peak for count in users),
            "Redis; users over several stores by hash",
        ),
        Limit(
            "histories on one store's disk",
            "pairs",
            m.disk_gb * 1e9 / u.store_bytes_pair.value,
            tuple(count * min(w.events_user, w.history) for count in users),
            "users over several stores by hash",
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: -limit.demand[0] / limit.breaks_at)


def dollars(row: Row, costs: Costs) -> tuple[float, float]:
    """(once, a month) in US dollars."""
    cpu = row.core_s / 3600 * costs.prices.core_hour
    stored = row.stored_bytes / 1e9 * costs.prices.gb_month
    return (0.0, cpu + stored) if row.monthly else (cpu, stored)
