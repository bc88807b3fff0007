"""What an experiment is made of: datasets, rows, protocols, trials, timing (docs/experiments.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seminar_tf.config.release import EvaluationConfig
from seminar_tf.config_io import check, positive

_NAME = "letters, digits, spaces and - _ . , + ( ), beginning with a letter or digit"


def _check_name(key: str, name: str) -> None:
    sound = bool(name) and name[0].isalnum() and all(c.isalnum() or c in " -_.,+()" for c in name)
    check(sound, key, name, _NAME)


def distinct(key: str, values: Sequence[Any], what: str) -> None:
    """ConfigError where a value occurs twice."""
    twice = sorted({str(value) for value in values if list(values).count(value) > 1})
    check(not twice, key, ", ".join(twice), f"each {what} once")


@dataclass(frozen=True)
class ExperimentDataset:
    """One dataset of an experiment.

    Attributes:
      name: in tables and file names.
      config: pipeline configuration (YAML), relative to the experiment's file.
      data: folder of canonical tables; "" takes `data.path` of the pipeline configuration.
      generate: preset of the generator that writes the tables where they are missing; "" writes none.
      overrides: dotted key of PipelineConfig -> value, for every row on this dataset.
      hold_out: of every item in so many, drawn by hash, all train targets are taken away; they stay in histories and in
        the test split, and are reported apart (the long tail). 0 takes none.
      tuned_on: another dataset, whose best trials are taken instead of trials of its own; "" for none.
      protocols: names of those that its rows are ranked by; empty takes all. Trials are judged by the first of them.
      seeds: of rows on it that have none of their own; empty takes the experiment's.
    """

    name: str = ""
    config: str = ""
    data: str = ""
    generate: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    hold_out: int = 0
    tuned_on: str = ""
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_name("datasets.name", self.name)
        distinct("datasets.seeds", self.seeds, "seed")
        check(all(seed >= 0 for seed in self.seeds), "datasets.seeds", self.seeds, "0 or more")
        distinct("datasets.protocols", self.protocols, "protocol")
        check(bool(self.config), "datasets.config", self.config, f"a pipeline configuration for {self.name!r}")
        sound = self.hold_out == 0 or 2 <= self.hold_out <= 100
        check(sound, "datasets.hold_out", self.hold_out, "0, or 2 to 100")


@dataclass(frozen=True)
class ExperimentRow:
    """One model of an experiment: a ranker, or the reference with a part left out.

    Attributes:
      name: in tables.
      overrides: dotted key of PipelineConfig -> value.
      pretrained: whether it starts from the PSU; if not, `psu.epochs` is 0 and its passes go to fine-tuning.
      seeds: of this row; empty takes the experiment's.
      datasets: names of those that it runs on; empty takes all.
    """

    name: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True
    seeds: tuple[int, ...] = ()
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name("rows.name", self.name)
        distinct("rows.seeds", self.seeds, "seed")
        clash = "psu.epochs" in self.overrides and not self.pretrained
        check(not clash, "rows.overrides", "psu.epochs", f"no psu.epochs for {self.name!r}, which is not pretrained")


@dataclass(frozen=True)
class Protocol:
    """How targets are ranked.

    Attributes:
      name: in tables and file names.
      evaluation: candidates, negatives, exclude_history, cutoffs and max_requests.
    """

    name: str = ""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        _check_name("protocols.name", self.name)


@dataclass(frozen=True)
class SearchBudget:
    """Trials of every ranker alike, on the eval split; the best one's overrides are what is trained and reported.

    Attributes:
      grid: overrides of each trial; empty or one entry: nothing is tried.
      seed: of every trial.
      max_requests: eval requests that a trial is judged by, drawn by user hash; 0 takes all.
    """

    grid: tuple[dict[str, Any], ...] = ()
    seed: int = 1
    max_requests: int = 0

    def __post_init__(self) -> None:
        check(self.seed >= 0, "search.seed", self.seed, "0 or more")
        check(self.max_requests >= 0, "search.max_requests", self.max_requests, "0 or more")
        distinct("search.grid", [repr(entry) for entry in self.grid], "trial")


@dataclass(frozen=True)
class RequestTiming:
    """How the time of a request is measured: one user, real histories padded to L, on one core.

    Attributes:
      length: L; 0 takes `model.history_length`.
      candidates: N.
      rounds: in which the models take turns; the median over rounds is reported. 0 times nothing.
      calls: of each model in a round; its median counts.
      datasets: names of those whose requests are timed; empty takes all.
    """

    length: int = 0
    candidates: int = 200
    rounds: int = 7
    calls: int = 5
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.length >= 0, "timing.length", self.length, "0 or more")
        check(self.rounds >= 0, "timing.rounds", self.rounds, "0 or more")
        positive("timing.candidates", self.candidates)
        positive("timing.calls", self.calls)
