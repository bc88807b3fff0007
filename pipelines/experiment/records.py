"""Everything that an experiment knows of a dataset at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.experiment.results import Table
from pipelines.experiment.tables import SliceTable


@dataclass(frozen=True)
class Spent:
    """What a row took, and what it might have taken.

    Attributes:
      row, kind, seed: which.
      pretrained: whether it started from a PSU.
      allowed: passes that it may take.
      psu_passes, passes: taken in pretraining and fine-tuning. kept: the fine-tuning pass, from 1, whose weights are
        kept, by the eval split where it stops early.
      psu_seconds, seconds: of training; a PSU that rows share is counted for each.
      status: of its job.
      error: one line.
    """

    row: str
    kind: str
    seed: int
    pretrained: bool
    allowed: int
    psu_passes: int = 0
    passes: int = 0
    kept: int = 0
    psu_seconds: float = 0.0
    seconds: float = 0.0
    status: str = "done"
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """One setting tried for one ranker.

    Attributes:
      ranker: its name.
      overrides: what it changes.
      value: of the compared metric on the eval split; None where it failed.
      best: whether the ranker's rows have it.
    """

    ranker: str
    overrides: dict[str, Any]
    value: float | None
    best: bool


@dataclass(frozen=True)
class DatasetResult:
    """Everything about one dataset.

    Attributes:
      name: the dataset's.
      error: why there is nothing; "" otherwise.
      facts: sizes and settings, in words.
      tables: protocols, each over all targets and, where items were held out, apart; then logged impressions.
      slices: the compared metric by slices, a table for each protocol.
      trials, spent: what was tried, what was spent.
      timing: ranker -> median milliseconds of a request in each round.
      reached: protocol (or logged impressions) -> who knows the truth, best first -> metric -> what that reaches, by
        the generator's ideal.json; only protocols that measure as it does; empty for other data.
    """

    name: str
    error: str = ""
    facts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    slices: list[SliceTable] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    timing: dict[str, list[float]] = field(default_factory=dict)
    reached: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
