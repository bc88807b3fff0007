"""models.config of the real server: which models to serve, which of their versions, and the versions' labels."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

from tensorflow_serving.config import model_server_config_pb2  # isort: skip

from serving import config_files
from serving.config_files import ConfigError
from serving.options import ModelSource

_LOG = logging.getLogger(__name__)
PLATFORM = "tensorflow"


def read_model_config(path: str | Path) -> tuple[ModelSource, ...]:
    """The models that a models.config file lists.

    Args:
      path: a text proto of ModelServerConfig, as `tensorflow_model_server --model_config_file` takes it.

    Returns:
      The models, in the file's order.

    Raises:
      ConfigError: the file cannot be read or served; the message names the file, and the line or the field.
    """
    config = config_files.read(path, model_server_config_pb2.ModelServerConfig())
    try:
        found = sources(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not found:
        raise ConfigError(f"{path}: model_config_list has no model. Add one: config {{ name: ... base_path: ... }}.")
    return found


def sources(config: Any) -> tuple[ModelSource, ...]:
    """The models of a ModelServerConfig, which may be none.

    Raises:
      ConfigError: something in it cannot be served; the message starts with the field.
    """
    kind = config.WhichOneof("config")
    if kind != "model_config_list":
        raise ConfigError(f"expected a model_config_list, found {kind or 'nothing'}; no other kind is supported.")
    found: dict[str, ModelSource] = {}
    for index, model in enumerate(config.model_config_list.config):
        source = _source(f"model_config_list.config[{index}]", model)
        if source.name in found:
            raise ConfigError(
                f"model_config_list.config[{index}].name: model {source.name!r} is listed twice; names must differ."
            )
        found[source.name] = source
    return tuple(found.values())


def _source(field: str, model: Any) -> ModelSource:
    if not model.name:
        raise ConfigError(f"{field}.name is empty; requests ask for a model by its name.")
    _check_platform(field, model)
    if "://" in model.base_path:
        raise ConfigError(
            f"{field}.base_path is {model.base_path!r}: this server reads folders only. Mount or copy the models."
        )
    if not os.path.isabs(model.base_path):
        raise ConfigError(f"{field}.base_path is {model.base_path!r}, expected an absolute path of a model's folder.")
    if "" in model.version_labels:
        raise ConfigError(f"{field}.version_labels: a label is empty.")
    if model.HasField("logging_config"):
        _LOG.warning(
            "%s.logging_config of model %s has no effect: this server logs no requests.", field, model.name,
            extra={"event": "config_ignored", "model": model.name},
        )  # fmt: skip
    policy, count, numbers = _policy(field, model.model_version_policy)
    return ModelSource(model.name, model.base_path, count, dict(model.version_labels), policy, numbers)


def _check_platform(field: str, model: Any) -> None:
    kinds = model_server_config_pb2.ModelType
    if model.model_type != kinds.MODEL_TYPE_UNSPECIFIED:
        if model.model_platform:
            raise ConfigError(f"{field}: model_type (old) and model_platform are both set; keep model_platform.")
        platform = PLATFORM if model.model_type == kinds.TENSORFLOW else kinds.Name(model.model_type)
    else:
        platform = model.model_platform
    if platform != PLATFORM:
        raise ConfigError(f"{field}.model_platform is {platform!r}, expected {PLATFORM!r}.")


def _policy(field: str, policy: Any) -> tuple[str, int, tuple[int, ...]]:
    """Policy, count of newest versions (1 unless said), specific versions."""
    choice = policy.WhichOneof("policy_choice") or "latest"
    if choice == "latest":
        # The real server, too, takes 0 as 1.
        return choice, max(policy.latest.num_versions, 1), ()
    if choice == "all":
        return choice, 1, ()
    numbers = tuple(policy.specific.versions)
    if not numbers or min(numbers) < 0:
        raise ConfigError(
            f"{field}.model_version_policy.specific.versions is {list(numbers)}, expected one or more version numbers."
        )
    return choice, 1, numbers


def check_labels_at_start(path: str | Path, found: tuple[ModelSource, ...], allowed: bool) -> None:
    """Refuses labels in the first configuration, as the real server does: no version is loaded yet.

    Args:
      path: the configuration's file, for the message.
      found: its models.
      allowed: labels may name versions that are not loaded.

    Raises:
      ConfigError: there are labels, and they are not allowed.
    """
    labelled = [source.name for source in found if source.version_labels]
    if labelled and not allowed:
        raise ConfigError(
            f"{path}: version_labels of model {labelled[0]!r} name versions that are not loaded at the start. "
            "Start with --allow-version-labels-for-unavailable-models, or give the labels with a "
            "HandleReloadConfigRequest once the versions are up."
        )
