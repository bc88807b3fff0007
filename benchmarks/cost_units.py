"""What the cost model reads: unit costs with where they were measured, prices and sizes that are assumed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from seminar_tf.config_io import check, from_yaml, positive

DEFAULTS = Path(__file__).with_name("costs.yaml")


@dataclass(frozen=True)
class Unit:
    """A measured cost.

    Attributes:
      value: in the unit that its name tells.
      source: where and how it was measured.
    """

    value: float
    source: str

    def __post_init__(self) -> None:
        positive("units.value", self.value)
        check(bool(self.source), "units.source", self.source, "where this was measured")


@dataclass(frozen=True)
class Units:
    """Measured unit costs. Core-seconds are CPU seconds of all threads and processes together.

    Attributes:
      table_bytes_event: canonical Parquet, all tables, for an event.
      segment_bytes_event: BehaviorExampleGen's segments (gzip TFRecord), for an event.
      transformed_bytes_event: the same after Transform.
      ingest_core_s_event, statistics_core_s_event, transform_core_s_event: beyond the fixed cost of a run.
      fixed_core_s: of all three together, whatever the data.
      direct_memory_bytes_event: memory of the process that ingests and transforms with beam.runner direct, an event.
      partition_memory_bytes_event: memory of a worker that builds one partition's segments, for an event in it.
      known_id_bytes_item: memory of each ingestion worker for an item id that events may name.
      pretrain_core_s_pair: PSU, a pair of history seen once.
      train_core_s_example: fine-tuning, a positive with a negative, small catalog.
      train_examples_step: examples of a step in that measurement.
      adam_core_s_row_step: fine-tuning, what each further row of the item tables adds to every step.
      adam_bytes_item: weights and both moments of an item's rows.
      rank_core_s_pair: evaluation, a scored (user, candidate) pair.
      serve_core_s_request: the embedded server, one request.
      gateway_core_s_request: the gateway and its store, one request.
      float_bytes_item, fused_bytes_item, codes_bytes_item: served tables, an item.
      store_bytes_pair: the gateway's SQLite store, a pair of history.
      store_appends_s: durable appends a second of one SQLite store.
    """

    table_bytes_event: Unit
    segment_bytes_event: Unit
    transformed_bytes_event: Unit
    ingest_core_s_event: Unit
    statistics_core_s_event: Unit
    transform_core_s_event: Unit
    fixed_core_s: Unit
    direct_memory_bytes_event: Unit
    partition_memory_bytes_event: Unit
    known_id_bytes_item: Unit
    pretrain_core_s_pair: Unit
    train_core_s_example: Unit
    train_examples_step: Unit
    adam_core_s_row_step: Unit
    adam_bytes_item: Unit
    rank_core_s_pair: Unit
    serve_core_s_request: Unit
    gateway_core_s_request: Unit
    float_bytes_item: Unit
    fused_bytes_item: Unit
    codes_bytes_item: Unit
    store_bytes_pair: Unit
    store_appends_s: Unit


@dataclass(frozen=True)
class Prices:
    """US dollars, assumed: put your own.

    Attributes:
      core_hour: of a core with some 4 GiB of memory.
      gb_month: of a gigabyte (1e9 bytes) stored for a month.
    """

    core_hour: float
    gb_month: float

    def __post_init__(self) -> None:
        for field in fields(self):
            positive(f"prices.{field.name}", getattr(self, field.name))


@dataclass(frozen=True)
class Workload:
    """What a user does, and what is made of it; assumed.

    Attributes:
      events_user: events of a user in the log.
      targets_user: newest targets that fine-tuning trains on (data.max_targets_per_user).
      events_user_day, requests_user_day: in production, on a mean day.
      peak: the busiest second over the mean one.
      evaluated_users: test users whose candidates are ranked (evaluation.max_requests).
      history: pairs that a request looks through (L).
      dim: d of the model.
    """

    events_user: float
    targets_user: float
    events_user_day: float
    requests_user_day: float
    peak: float
    evaluated_users: float
    history: float
    dim: float

    def __post_init__(self) -> None:
        for field in fields(self):
            positive(f"workload.{field.name}", getattr(self, field.name))


@dataclass(frozen=True)
class Machine:
    """One machine, for the question what breaks first.

    Attributes:
      cores, memory_gb, disk_gb: what it has, in 1e9 bytes.
      patience_hours: how long a step of the pipeline may take.
      partitions: data.partitions.
      max_items: features.max_item_vocabulary.
    """

    cores: float
    memory_gb: float
    disk_gb: float
    patience_hours: float
    partitions: float
    max_items: float

    def __post_init__(self) -> None:
        for field in fields(self):
            positive(f"machine.{field.name}", getattr(self, field.name))


@dataclass(frozen=True)
class Scenario:
    """Users, and the catalog that goes with so many."""

    users: float
    items: float

    def __post_init__(self) -> None:
        positive("scenarios.users", self.users)
        positive("scenarios.items", self.items)


@dataclass(frozen=True)
class Costs:
    """All of it."""

    units: Units
    prices: Prices
    workload: Workload
    machine: Machine
    scenarios: tuple[Scenario, ...]

    def __post_init__(self) -> None:
        check(bool(self.scenarios), "scenarios", self.scenarios, "at least one")


def read_costs(path: str | Path = DEFAULTS) -> Costs:
    """Reads a YAML file.

    Raises:
      ConfigError: unknown or missing key, or a value that is not a number above 0; the message names it.
    """
    return from_yaml(Costs, path)
