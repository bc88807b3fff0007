"""The jobs that make an experiment's results: what each runs, what it needs, what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.experiment.jobs import Job
from pipelines.experiment.layout import (
    MARKER,
    MODEL,
    Question,
    Transformed,
    content_key,
    fine_tuned_folder,
    floor_folder,
    held_out_folder,
    pretrained_folder,
    without_targets,
)
from pipelines.experiment.plan import Dataset, Plan, Row
from seminar_tf.config_io import to_json


def ingestion_jobs(plan: Plan) -> list[Job]:
    """Reads every dataset; datasets that are read alike share the job."""
    jobs: dict[Path, Job] = {}
    for dataset in plan.datasets:
        name = f"{dataset.name} / data"
        arguments = (dataset.config, dataset.given.generate, dataset.folder)
        job = Job(name, "pipelines.experiment.ingestion:ingest", arguments, (dataset.folder / MARKER,))
        jobs.setdefault(dataset.folder, job)
    return list(jobs.values())


def hold_out_jobs(dataset: Dataset, data: Transformed) -> tuple[Transformed, list[Job]]:
    """The data that a dataset's rows train on, and the job that makes it where it is a copy."""
    one_in = dataset.given.hold_out
    if not one_in:
        return data, []
    target = held_out_folder(dataset.folder, data, one_in)
    arguments = (data, dataset.folder, one_in)
    job = Job(f"{dataset.name} / held out", "pipelines.experiment.held_out:hold_out", arguments, (target,))
    return without_targets(dataset.folder, data, one_in), [job]


def training_jobs(plan: Plan, rows: Mapping[str, tuple[Row, Transformed, tuple[Question, ...]]]) -> list[Job]:
    """Jobs that train rows: each PSU once, then what is fine-tuned on it.

    Args:
      plan: the experiment.
      rows: job name -> row, its data, and what it is asked.
    """
    first: dict[Path, Job] = {}
    then: list[Job] = []
    for name, (row, data, asked) in rows.items():
        folder = pretrained_folder(row.config, data, plan.models)
        arguments: tuple[Any, ...] = (row.config, data, plan.models)
        psu = Job(f"PSU of {name}", "pipelines.experiment.stages:pretrained", arguments, (folder / MODEL,))
        psu = first.setdefault(folder, psu)
        ranker = fine_tuned_folder(row.config, data, plan.models)
        outputs = (ranker / MODEL, *(one.file(ranker) for one in asked))
        # Rows that are the same under two names train in one folder: one after the other.
        before = tuple(job.name for job in then if job.outputs[0] == outputs[0])
        target = "pipelines.experiment.stages:train_row"
        then.append(Job(name, target, (*arguments, asked), outputs, (psu.name, *before)))
    return [*first.values(), *then]


def floor_jobs(plan: Plan, dataset: Dataset, data: Transformed) -> dict[str, Job]:
    """Floor -> the job that ranks with it."""
    jobs = {}
    for name in plan.config.floors:
        folder = floor_folder(name, dataset.name, dataset.config, data, plan.models)
        asked = plan.questions(dataset)
        arguments = (name, dataset.config, data, folder, asked)
        outputs = tuple(one.file(folder) for one in asked)
        jobs[name] = Job(f"{dataset.name} / {name}", "pipelines.experiment.stages:rank_floor", arguments, outputs)
    return jobs


def timing_job(plan: Plan, dataset: Dataset, data: Transformed, models: Mapping[str, Path]) -> Job:
    """The job that times requests of some models."""
    timing = plan.config.timing
    length = timing.length or dataset.config.model.history_length
    described = [f"{name}:{model}" for name, model in models.items()]
    path = plan.models / f"timing-{content_key(described, to_json(timing), str(length), str(data.graph))}.json"
    arguments = (dict(models), data, timing, length, path)
    return Job(f"{dataset.name} / time per request", "pipelines.experiment.timing:time_requests", arguments, (path,))
