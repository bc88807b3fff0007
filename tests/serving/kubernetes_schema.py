"""Checks a Kubernetes object as the API server's strict validation would, against the official client's models.

The models of the package `kubernetes` are generated from the API's OpenAPI document: names, types and which fields must
be there. A field that no model has is an error here, not something that is silently dropped.
"""

from __future__ import annotations

import re
from typing import Any

from kubernetes import client

MODELS = {
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("v1", "Service"): "V1Service",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("apps/v1", "StatefulSet"): "V1StatefulSet",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "V2HorizontalPodAutoscaler",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
}
# Of the Prometheus operator, which is no part of Kubernetes: what of it our files use.
SERVICE_MONITOR = ("monitoring.coreos.com/v1", "ServiceMonitor")
_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}
# Without it, each model would make one of its own, which takes longer than all the rest.
_CONFIGURATION = client.Configuration()
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")


class SchemaError(AssertionError):
    """A field that is unknown, missing, or of a wrong type."""


def check(document: dict[str, Any]) -> None:
    """Checks one object.

    Raises:
      SchemaError: with the path of the field.
    """
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind == SERVICE_MONITOR:
        _check_service_monitor(document)
        return
    if kind not in MODELS:
        raise SchemaError(f"{kind}: no such kind")
    _check(document, MODELS[kind], str(kind[1]))
    name = document["metadata"]["name"]
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise SchemaError(f"{kind[1]}.metadata.name: {name!r} is no DNS label")


def _check(value: Any, kind: str, path: str) -> Any:
    """Checks a value against a type of `openapi_types`; returns what the model's constructor takes."""
    if kind == "object":  # an integer or a string
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise SchemaError(f"{path}: {value!r}, expected an integer or a string")
        return value
    if kind in _SCALARS:
        if not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise SchemaError(f"{path}: {value!r}, expected {kind}")
        return value
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise SchemaError(f"{path}: {value!r}, expected a list")
        return [_check(item, kind[5:-1], f"{path}[{n}]") for n, item in enumerate(value)]
    if kind.startswith("dict("):
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise SchemaError(f"{path}: {value!r}, expected a mapping")
        found = {key: _check(item, kind[5:-1].split(", ")[1], f"{path}.{key}") for key, item in value.items()}
        if path.endswith((".requests", ".limits")) and not all(map(_QUANTITY.fullmatch, found.values())):
            raise SchemaError(f"{path}: {value}, expected quantities")
        return found
    return _check_model(value, kind, path)


def _check_model(value: Any, kind: str, path: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(f"{path}: {value!r}, expected the fields of {kind}")
    model = getattr(client, kind)
    fields = {json_name: name for name, json_name in model.attribute_map.items()}
    unknown = set(value) - set(fields)
    if unknown:
        raise SchemaError(f"{path}: {kind} has no field {', '.join(sorted(unknown))}")
    given = {
        fields[key]: _check(item, model.openapi_types[fields[key]], f"{path}.{key}") for key, item in value.items()
    }
    try:
        return model(**given, local_vars_configuration=_CONFIGURATION)
    except ValueError as error:  # a field that must be there
        raise SchemaError(f"{path}: {error}") from error


def _check_service_monitor(document: dict[str, Any]) -> None:
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}, document
    _check(document["metadata"], "V1ObjectMeta", "ServiceMonitor.metadata")
    assert set(document["spec"]) == {"selector", "endpoints"}, document["spec"]
    _check(document["spec"]["selector"], "V1LabelSelector", "ServiceMonitor.spec.selector")
    for endpoint in document["spec"]["endpoints"]:
        assert set(endpoint) == {"port", "path", "interval"}, endpoint
        assert re.fullmatch(r"\d+s", endpoint["interval"])
