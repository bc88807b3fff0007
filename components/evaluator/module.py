"""What the stock Evaluator component loads by `module_path="components.evaluator.module"`.

Its examples are the transformed ones of the splits train, eval and test (`example_splits`), since a test request's
history lies in all three; metrics are of test requests only.
"""

from __future__ import annotations

from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.eval_config import impression_tasks
from components.evaluator.extractor import STAGE_NAME, ExtractRankings, ModelPath
from seminar_tf.export.metadata import ModelMetadata


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: config_pb2.EvalConfig, **kwargs: Any
) -> tfma.types.EvalSharedModel:
    """Checks that a model can be evaluated before Beam starts; the extractor loads it where it runs.

    Args:
      eval_saved_model_path: SavedModel folder.
      model_name: TFMA's name of the model.
      eval_config: the evaluation's configuration.
      **kwargs: what else the Evaluator passes on.

    Returns:
      TFMA's handle of the model.

    Raises:
      MetadataError: the model was not exported by seminar_tf.
    """
    ModelMetadata.load(eval_saved_model_path)
    # Not tfma.default_eval_shared_model: it loads the whole model through Keras, only to find out its type.
    return tfma.types.EvalSharedModel(
        model_path=eval_saved_model_path,
        model_name=model_name,
        model_type=tfma.TF_GENERIC,
        is_baseline=any(spec.name == model_name and spec.is_baseline for spec in eval_config.model_specs),
    )


def custom_extractors(
    eval_shared_model: tfma.types.MaybeMultipleEvalSharedModels, eval_config: config_pb2.EvalConfig, **kwargs: Any
) -> list[tfma.extractors.Extractor]:
    """The extractors that turn segments into ranked targets with slice keys.

    Args:
      eval_shared_model: the candidate, or a list of candidate and baseline.
      eval_config: the evaluation's configuration, which says which one is the baseline and what is measured.
      **kwargs: what else the Evaluator passes on.

    Returns:
      Two extractors.
    """
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    baselines = {spec.name for spec in eval_config.model_specs if spec.is_baseline}
    ordered = sorted(models, key=lambda model: model.model_name in baselines)
    paths = [ModelPath(model.model_name if len(models) > 1 else "", model.model_path) for model in ordered]
    return [
        tfma.extractors.Extractor(
            stage_name=STAGE_NAME, ptransform=ExtractRankings(paths, impression_tasks(eval_config))
        ),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]
