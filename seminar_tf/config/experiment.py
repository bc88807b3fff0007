"""An experiment: datasets x rankers x seeds, how they are compared, and what each may spend (docs/experiments.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from seminar_tf.config.experiment_parts import (
    ExperimentDataset,
    ExperimentRow,
    Protocol,
    RequestTiming,
    SearchBudget,
    distinct,
)
from seminar_tf.config_io import check, positive

FLOORS = ("popularity", "item_knn")


@dataclass(frozen=True)
class ExperimentConfig:
    """The whole experiment.

    Attributes:
      name: title of the report.
      root: folder of everything that is made: ingested data, models, logs and the report.
      datasets, rankers: what is crossed.
      ablations: rows that change something of the reference ranker; they take over what was found best for it.
      reference: the ranker that others are compared with; "" is the first.
      floors: rankers without training: `popularity`, `item_knn`.
      seeds: of rankers.
      ablation_seeds: of ablations; empty takes `seeds`.
      protocols: how the test split is ranked; trials are judged by the first of their dataset.
      search: trials before.
      timing: of requests.
      metric: what is compared; one that the protocols' evaluation gives.
      metrics: columns of tables.
      patience: epochs without a better eval metric before a ranker without pretraining stops.
      jobs: processes at once, a core each; 0 takes as many as there are cores.
    """

    name: str = "experiment"
    root: str = "runs/experiment"
    datasets: tuple[ExperimentDataset, ...] = ()
    rankers: tuple[ExperimentRow, ...] = ()
    ablations: tuple[ExperimentRow, ...] = ()
    reference: str = ""
    floors: tuple[str, ...] = FLOORS
    seeds: tuple[int, ...] = (1, 2, 3)
    ablation_seeds: tuple[int, ...] = ()
    protocols: tuple[Protocol, ...] = (Protocol("full"),)
    search: SearchBudget = field(default_factory=SearchBudget)
    timing: RequestTiming = field(default_factory=RequestTiming)
    metric: str = "ndcg_at_10"
    metrics: tuple[str, ...] = ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr")
    patience: int = 1
    jobs: int = 0

    def __post_init__(self) -> None:
        for key in ("datasets", "rankers", "protocols", "seeds", "metrics"):
            check(bool(getattr(self, key)), key, getattr(self, key), "at least one")
        for key in ("datasets", "protocols"):
            distinct(key, [entry.name for entry in getattr(self, key)], "name")
        for dataset in self.datasets:
            others = [other.name for other in self.datasets if not other.tuned_on and other is not dataset]
            sound = dataset.tuned_on in ("", *others)
            wanted = f"another dataset with trials of its own: {', '.join(others) or 'there is none'}"
            check(sound, "datasets.tuned_on", dataset.tuned_on, wanted)
            given = [protocol.name for protocol in self.protocols]
            for name in dataset.protocols:
                check(name in given, f"protocols of dataset {dataset.name!r}", name, f"some of {', '.join(given)}")
        rows = [row.name for row in (*self.rankers, *self.ablations)] + list(self.floors)
        distinct("rankers", rows, "name (of rankers, ablations and floors together)")
        for key in ("seeds", "ablation_seeds"):
            distinct(key, getattr(self, key), "seed")
            check(all(seed >= 0 for seed in getattr(self, key)), key, getattr(self, key), "0 or more")
        for floor in self.floors:
            check(floor in FLOORS, "floors", floor, f"some of {', '.join(FLOORS)}")
        names = [dataset.name for dataset in self.datasets]
        for row in (*self.rankers, *self.ablations):
            for name in row.datasets:
                check(name in names, f"datasets of row {row.name!r}", name, f"some of {', '.join(names)}")
        for name in self.timing.datasets:
            check(name in names, "timing.datasets", name, f"some of {', '.join(names)}")
        known = [row.name for row in self.rankers]
        check(self.reference in ("", *known), "reference", self.reference, f"one of {', '.join(known)}")
        check(self.metric in self.metrics, "metric", self.metric, f"one of metrics: {', '.join(self.metrics)}")
        positive("patience", self.patience)
        check(self.jobs >= 0, "jobs", self.jobs, "0 or more")

    def only(self, datasets: Sequence[str]) -> ExperimentConfig:
        """The same experiment on some of its datasets.

        Args:
          datasets: names; those on which one of them is tuned must be among them, unless the grid is a single trial,
            of which nothing is chosen.

        Raises:
          ConfigError: a name is unknown, or a dataset is missing on which another is tuned.
        """
        names = [dataset.name for dataset in self.datasets]
        for name in datasets:
            check(name in names, "--only", name, f"some of {', '.join(names)}")
        kept = tuple(dataset for dataset in self.datasets if dataset.name in datasets)
        if len(self.search.grid) < 2:
            kept = tuple(replace(dataset, tuned_on="") for dataset in kept)
        for dataset in kept:
            sound = not dataset.tuned_on or dataset.tuned_on in datasets
            wanted = f"{dataset.tuned_on} too: {dataset.name} is tuned on it. --set search.grid=[{{}}] tunes nothing"
            check(sound, "--only", ", ".join(datasets), wanted)

        def rows(given: tuple[ExperimentRow, ...]) -> tuple[ExperimentRow, ...]:
            there = [row for row in given if not row.datasets or set(row.datasets) & set(datasets)]
            return tuple(replace(row, datasets=tuple(n for n in row.datasets if n in datasets)) for row in there)

        timed = tuple(name for name in self.timing.datasets if name in datasets)
        none = self.timing.datasets and not timed
        timing = replace(self.timing, datasets=timed, rounds=0 if none else self.timing.rounds)
        return replace(self, datasets=kept, rankers=rows(self.rankers), ablations=rows(self.ablations), timing=timing)

    @property
    def compared_with(self) -> ExperimentRow:
        """The reference ranker."""
        return next(row for row in self.rankers if row.name == (self.reference or self.rankers[0].name))

    def protocols_on(self, dataset: ExperimentDataset) -> tuple[Protocol, ...]:
        """The protocols that a dataset's rows are ranked by."""
        return tuple(one for one in self.protocols if not dataset.protocols or one.name in dataset.protocols)

    def rankers_on(self, dataset: str) -> tuple[ExperimentRow, ...]:
        """The rankers that run on a dataset."""
        return tuple(row for row in self.rankers if not row.datasets or dataset in row.datasets)

    def ablations_on(self, dataset: str) -> tuple[ExperimentRow, ...]:
        """The ablations that run on a dataset: none where their reference does not."""
        there = self.compared_with in self.rankers_on(dataset)
        return tuple(row for row in self.ablations if there and (not row.datasets or dataset in row.datasets))
