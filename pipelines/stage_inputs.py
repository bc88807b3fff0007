"""What each stage's result depends on: which code, and which parts of the configuration.

Both are given to the components as parameters, so that TFX's cache takes an earlier output where neither has changed:
an edit elsewhere, a new evaluation threshold or serving folder trains nothing again.
"""

from __future__ import annotations

import dataclasses

from seminar_tf.config import SEMINAR, DataConfig, PipelineConfig, RetrievalConfig, RivalsConfig

INGEST_CODE = ("components/behavior_example_gen", "seminar_tf/data", "seminar_tf/features")
DRIFT_CODE = ("components/drift", "components/resolvers/lineage.py", "seminar_tf/data/columns.py")
TRANSFORM_CODE = ("pipelines/transform.py", "seminar_tf/features")
TRAINER_CODE = (
    "components/trainer",
    "pipelines/trainers",
    "seminar_tf/encoders",
    "seminar_tf/evaluation",
    "seminar_tf/features",
    "seminar_tf/layers",
    "seminar_tf/losses",
    "seminar_tf/models",
    "seminar_tf/training",
)
EXPORT_CODE = ("seminar_tf/export",)
RETRIEVAL_CODE = ("seminar_tf/retrieval", "seminar_tf/retrieval/measured.json")
QUANTIZER_CODE = (
    "components/quantizer",
    "components/json_file.py",
    *EXPORT_CODE,
    *RETRIEVAL_CODE,
    "seminar_tf/features",
    "seminar_tf/layers",
    "seminar_tf/models",
)
RECALL_CODE = (
    "components/recall_evaluator",
    "components/json_file.py",
    "seminar_tf/evaluation",
    "seminar_tf/export",
    "seminar_tf/features",
    "seminar_tf/layers",
    "seminar_tf/models",
    "seminar_tf/training",
)


def serving_part(config: PipelineConfig) -> PipelineConfig:
    """What the exported model depends on: new thresholds or another serving folder export nothing again."""
    unread = RetrievalConfig()
    return PipelineConfig(
        root="",
        seed=config.seed,
        features=config.features,
        model=config.model,
        serving=dataclasses.replace(config.serving, push_dir=""),
        evaluation=config.evaluation.without_thresholds(),
        retrieval=dataclasses.replace(
            config.retrieval,
            requests=unread.requests,
            candidates=unread.candidates,
            min_recall=unread.min_recall,
            max_ndcg_lost=unread.max_ndcg_lost,
        ),
    )


def trainer_part(config: PipelineConfig, stage: str) -> PipelineConfig:
    """What a Trainer's result depends on.

    Args:
      config: the whole configuration.
      stage: `psu` or `seminar`.
    """
    if stage == "psu":
        return PipelineConfig(
            root="",
            seed=config.seed,
            features=config.features,
            # Pretraining knows nothing of rankers: all of them start from one PSU.
            model=dataclasses.replace(config.model, ranker=SEMINAR, rivals=RivalsConfig()),
            psu=config.psu,
            continuous=config.continuous,
        )
    served = serving_part(config)
    return dataclasses.replace(
        served,
        psu=config.psu,
        continuous=config.continuous,
        # Whether a target is an event or a candidate of a logged request.
        data=DataConfig(targets=config.data.targets),
        seminar=config.seminar,
        # How a model is served is the Quantizer's affair, unless it is to be trained for it.
        retrieval=served.retrieval if config.retrieval.train_codes else RetrievalConfig(tables="float"),
    )


def trainer_code(config: PipelineConfig, stage: str) -> tuple[str, ...]:
    """Files and folders that a Trainer's result depends on; arguments as of `trainer_part`."""
    if stage == "psu":
        return TRAINER_CODE
    return TRAINER_CODE + EXPORT_CODE + (RETRIEVAL_CODE if config.retrieval.train_codes else ())
