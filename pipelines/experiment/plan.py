"""What an experiment runs: every row's configuration, within its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.experiment.layout import Asked, AskedImpressions, Question, ingestion_folder
from seminar_tf.config import PipelineConfig
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config.experiment_parts import ExperimentDataset, ExperimentRow
from seminar_tf.config_io import ConfigError, check, from_yaml, override
from seminar_tf.data.dataset import describe, uses_requests
from seminar_tf.data.generator import PRESETS
from seminar_tf.evaluation.metrics import metric_names
from seminar_tf.export.inputs import INDEXED_SIGNATURE

RANKER, ABLATION, FLOOR = "ranker", "ablation", "floor"
# What every ranker may spend alike: no trial may change it.
_BUDGET = ("psu.epochs", "seminar.epochs")


@dataclass(frozen=True)
class Dataset:
    """A dataset, resolved.

    Attributes:
      given: as the experiment's file has it.
      config: the pipeline configuration that rows on it start from; paths are absolute.
      folder: of its ingestion.
      passes: over the data that a row may take, pretraining and fine-tuning together.
    """

    given: ExperimentDataset
    config: PipelineConfig
    folder: Path
    passes: int

    @property
    def name(self) -> str:
        """In tables."""
        return self.given.name


@dataclass(frozen=True)
class Row:
    """One model to train and rank.

    Attributes:
      dataset: the dataset's name.
      name: the ranker's or ablation's.
      kind: RANKER or ABLATION.
      seed: of every draw of its training.
      config: all of it.
    """

    dataset: str
    name: str
    kind: str
    seed: int
    config: PipelineConfig

    @property
    def title(self) -> str:
        """Names the row's job."""
        return f"{self.dataset} / {self.name} / seed {self.seed}"


class Plan:
    """Everything that an experiment comes to, checked before anything is run.

    Attributes:
      config: the experiment.
      root: folder of all results.
      datasets: resolved.
    """

    def __init__(self, config: ExperimentConfig, place: Path, data: Mapping[str, str] | None = None) -> None:
        """Resolves an experiment.

        Args:
          config: the experiment.
          place: folder of its file, which the datasets' pipeline configurations are relative to.
          data: dataset -> folder of its tables, in place of what the file says.

        Raises:
          ConfigError: a pipeline configuration or an override is wrong, a row wants more than its budget, or a name is
            unknown.
        """
        self.config, self.root = config, Path(config.root).resolve()
        data = dict(data or {})
        known = [given.name for given in config.datasets]
        for name in data:
            check(name in known, "--data", name, f"a dataset of the experiment: {', '.join(known)}")
        self.datasets = tuple(self._dataset(given, place, data.get(given.name, "")) for given in config.datasets)
        self._check()

    @property
    def models(self) -> Path:
        """Folder of trained models."""
        return self.root / "models"

    def _dataset(self, given: ExperimentDataset, place: Path, path: str) -> Dataset:
        config = from_yaml(PipelineConfig, place / given.config)
        config = _in_context(f"dataset {given.name!r}", config, given.overrides)
        path = path or given.data or config.data.path
        check(bool(path), f"datasets {given.name!r}", path, "data, or data.path in its pipeline configuration")
        presets = ("", *PRESETS)
        check(given.generate in presets, "datasets.generate", given.generate, f"one of {', '.join(PRESETS)}")
        # What a result depends on names it: neither the run's name nor its root is among that.
        resolved = replace(config.data, path=str(Path(path).resolve()))
        # Rows are ranked, and timed, by this signature alone.
        serving = replace(config.serving, signatures=(INDEXED_SIGNATURE,))
        config = replace(config, name="experiment", root="", data=resolved, serving=serving)
        passes = config.psu.epochs + config.seminar.epochs
        return Dataset(given, config, ingestion_folder(self.root, config), passes)

    def _check(self) -> None:
        for protocol in self.config.protocols:
            given = metric_names(protocol.evaluation.cutoffs)
            for metric in self.config.metrics:
                check(metric in given, "metrics", metric, f"what protocol {protocol.name!r} gives: {', '.join(given)}")
        for trial in self.config.search.grid:
            for key in trial:
                check(key not in _BUDGET, "search.grid", key, "no key of the budget, which is the same for all")
                clash = [row.name for row in self.config.rankers if key in row.overrides]
                check(not clash, "search.grid", key, f"a key that no ranker sets; {', '.join(clash)} does")
        for dataset in self.datasets:
            for trial in self._trials():
                list(self.rows(dataset, {row.name: trial for row in self.config.rankers}))

    def _trials(self) -> tuple[dict[str, Any], ...]:
        return self.config.search.grid or ({},)

    def rows(self, dataset: Dataset, chosen: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
        """The rows of a dataset, rankers first.

        Args:
          dataset: of this plan.
          chosen: ranker -> overrides of its best trial; a ranker that is missing has no rows, and neither have
            ablations of a missing reference.
        """
        reference = self.config.compared_with
        for row in self.config.rankers_on(dataset.name):
            if row.name in chosen:
                for seed in row.seeds or dataset.given.seeds or self.config.seeds:
                    config = self.row_config(dataset, row, chosen[row.name], seed)
                    yield Row(dataset.name, row.name, RANKER, seed, config)
        for row in self.config.ablations_on(dataset.name) if reference.name in chosen else ():
            whole = replace(row, overrides={**reference.overrides, **row.overrides})
            for seed in row.seeds or self.config.ablation_seeds or dataset.given.seeds or self.config.seeds:
                config = self.row_config(dataset, whole, chosen[reference.name], seed)
                yield Row(dataset.name, row.name, ABLATION, seed, config)

    def row_config(self, dataset: Dataset, row: ExperimentRow, trial: Mapping[str, Any], seed: int) -> PipelineConfig:
        """The configuration of a row: the dataset's, then the trial's overrides, then the row's own, within the budget.

        Raises:
          ConfigError: an override is wrong, or wants more passes than the dataset's configuration has.
        """
        config = _in_context(f"{row.name!r} on {dataset.name!r}", dataset.config, {**trial, **row.overrides})
        if not row.pretrained:
            asked = row.overrides.get("seminar.epochs", dataset.passes)
            seminar = replace(config.seminar, epochs=asked, patience=config.seminar.patience or self.config.patience)
            config = replace(config, psu=replace(config.psu, epochs=0), seminar=seminar)
        passes = config.psu.epochs + config.seminar.epochs
        if passes > dataset.passes:
            raise ConfigError(
                f"{row.name!r} on {dataset.name!r}: psu.epochs {config.psu.epochs} + seminar.epochs "
                f"{config.seminar.epochs} are more than the {dataset.passes} passes that each row of this dataset has. "
                "Raise them for all rows, in the overrides of the dataset."
            )
        # The fields that say what is read must be the dataset's own: all rows share its ingestion.
        same = config.data == dataset.config.data and config.features == dataset.config.features
        if not same:
            raise ConfigError(
                f"{row.name!r} on {dataset.name!r}: a row cannot override data.* or features.*; give the dataset's "
                "overrides, or another dataset."
            )
        return replace(config, seed=seed)

    def trials(self, dataset: Dataset) -> list[tuple[int, Row]]:
        """The rows that are tried before, with the number of their trial; none where there is one setting only."""
        grid = self._trials()
        if len(grid) < 2 or dataset.given.tuned_on:
            return []
        search = self.config.search
        return [
            (n, Row(dataset.name, row.name, RANKER, search.seed, self.row_config(dataset, row, trial, search.seed)))
            for row in self.config.rankers_on(dataset.name)
            for n, trial in enumerate(grid)
        ]

    def history_length(self, dataset: Dataset) -> int:
        """The longest L of a dataset's rows."""
        rows = self.rows(dataset, {row.name: self._trials()[0] for row in self.config.rankers})
        return max(row.config.model.history_length for row in rows)

    def asked(self, dataset: Dataset) -> tuple[Asked, ...]:
        """What every row of a dataset ranks on the test split, a protocol each."""
        length = self.history_length(dataset)
        return tuple(Asked("test", one.evaluation, length) for one in self.config.protocols_on(dataset.given))

    def asked_impressions(self, dataset: Dataset) -> AskedImpressions | None:
        """What every row scores of the test split; None where targets are events, of which nobody knows what was shown.

        Raises:
          DatasetError: the tables are not there, or lack the requests that the configuration asks for.
        """
        if not uses_requests(dataset.config.data, describe(dataset.config.data.path)):
            return None
        return AskedImpressions("test", self.history_length(dataset))

    def questions(self, dataset: Dataset) -> tuple[Question, ...]:
        """All that every row of a dataset answers."""
        shown = self.asked_impressions(dataset)
        return self.asked(dataset) if shown is None else (*self.asked(dataset), shown)

    def asked_of_trials(self, dataset: Dataset) -> Asked:
        """What trials are judged by: eval requests, ranked by the dataset's first protocol."""
        first = self.config.protocols_on(dataset.given)[0]
        evaluation = replace(first.evaluation, max_requests=self.config.search.max_requests)
        return Asked("eval", evaluation, self.history_length(dataset))


def _in_context(what: str, config: PipelineConfig, values: Mapping[str, Any]) -> PipelineConfig:
    """Overrides a configuration; a wrong key is told with where it stands."""
    try:
        return override(config, values)
    except ConfigError as error:
        raise ConfigError(f"overrides of {what}: {error}") from None
