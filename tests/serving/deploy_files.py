"""Reads the files of serving/deploy for the tests: Compose variables, overlays of kustomize, flags of a command."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "serving" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
OVERLAYS = ("cpu", "gpu")
COMPONENTS = ("batching", "metrics-operator", "request-rate-scaling", "tls")
# What a site would set; everything else has a default.
ENVIRONMENT = {"MODELS_DIR": "/srv/models", "GRAFANA_PASSWORD": "secret"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def documents(path: Path) -> list[dict[str, Any]]:
    """Every YAML document of a file; the caller may change them."""
    return copy.deepcopy(_parsed(path))


@functools.cache
def _parsed(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found is not None]


def variables(text: str) -> set[str]:
    """Names of the ${VARIABLES} of a Compose file."""
    return {match["name"] for match in _VARIABLE.finditer(text)}


def interpolate(text: str, environment: dict[str, str]) -> str:
    """A Compose file with its variables filled in, as Compose does: default with `:-`, refused with `:?`."""

    def value(match: re.Match[str]) -> str:
        given = environment.get(match["name"])
        if given:
            return given
        if match["kind"] == "-":
            return str(match["rest"])
        raise KeyError(f"{match['name']}: {match['rest'] or 'not set and without a default'}")

    return _VARIABLE.sub(value, text)


def compose(*names: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Compose files merged as Compose merges them: mappings by key, `command` and `entrypoint` replaced."""
    merged: dict[str, Any] = {}
    for name in names:
        text = (DEPLOY / name).read_text(encoding="utf-8")
        merged = _merge(merged, yaml.safe_load(interpolate(text, environment or ENVIRONMENT)))
    return merged


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in over.items():
        found[key] = (
            _merge(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
        )
    return found


def overlay(name: str, components: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of an overlay and components, without its sorting.

    Only what our files use: resources, JSON patches, new image tags and a ConfigMap from files.
    """
    found = _build(KUBERNETES / "overlays" / name)
    for component in components:
        _apply(KUBERNETES / "components" / component, found)
    return found


def _build(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    _apply(folder, found)
    return found


def _apply(folder: Path, found: list[dict[str, Any]]) -> None:
    (config,) = documents(folder / "kustomization.yaml")
    for resource in config.get("resources", []):
        path = (folder / resource).resolve()
        found.extend(_build(path) if path.is_dir() else documents(path))
    for generator in config.get("configMapGenerator", []):
        data = {name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
        found.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data},
        )
    for patch in config.get("patches", []):
        target = patch["target"]
        hit = [d for d in found if d["kind"] == target["kind"] and d["metadata"]["name"] == target["name"]]
        assert len(hit) == 1, f"{folder}: the patch of {target} fits {len(hit)} objects"
        for operation in yaml.safe_load(patch["patch"]):
            _operate(hit[0], operation)
    for image in config.get("images", []):
        hits = [c for d in found for c in containers(d) if _repository(c["image"]) == image["name"]]
        assert hits, f"{folder}: no container has the image {image['name']}"
        for container in hits:
            container["image"] = f"{image['name']}:{image['newTag']}"


def _operate(document: Any, operation: dict[str, Any]) -> None:
    """One operation of RFC 6902; `add` and `replace` only."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in parents:
        document = document[int(part)] if isinstance(document, list) else document[part]
    value = copy.deepcopy(operation["value"])
    if isinstance(document, list):
        assert operation["op"] == "add" and last == "-", operation
        document.append(value)
    else:
        assert operation["op"] == "add" or last in document, f"nothing to replace: {operation}"
        document[last] = value


def _repository(image: str) -> str:
    return image.rpartition(":")[0] or image


def pod_spec(document: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template's spec of a Deployment or StatefulSet."""
    return document["spec"]["template"]["spec"] if document["kind"] in ("Deployment", "StatefulSet") else None


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = pod_spec(document)
    return spec["containers"] if spec else []


def one(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of a kind and name."""
    (hit,) = [d for d in found if d["kind"] == kind and d["metadata"]["name"] == name]
    return hit


def flags(command: list[str]) -> dict[str, str]:
    """--name=value of a command line; a repeated or malformed flag fails."""
    found: dict[str, str] = {}
    for word in command:
        match = re.fullmatch(r"--([a-z0-9_-]+)=(.*)", word)
        assert match, f"{word!r} is not --name=value"
        assert match[1] not in found, f"--{match[1]} is given twice"
        found[match[1]] = match[2]
    return found


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/serving.json").read_text(encoding="utf-8"))
    return loaded


def alert_rules() -> list[dict[str, Any]]:
    (loaded,) = documents(DEPLOY / "prometheus/alerts.yml")
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def table(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading of docs/deployment.md, without the header."""
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows, f"no table under {heading!r}"
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[0].splitlines()[2:]]
