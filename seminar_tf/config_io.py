"""Typed dataclasses from YAML or JSON, with errors that name the key and suggest the one that was meant."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, what was found and what was expected."""


def check(ok: bool, key: str, value: object, expected: str) -> None:
    """Raises ConfigError naming `key` unless `ok`."""
    if not ok:
        raise ConfigError(f"config key {key}: expected {expected}, found {value!r}.")


def positive(key: str, value: float) -> None:
    """Raises ConfigError unless `value` is above zero."""
    check(value > 0, key, value, "a number above 0")


def from_yaml(cls: type[T], path: str | Path, overrides: Iterable[str] = ()) -> T:
    """Reads `cls` from a YAML file.

    Args:
      cls: a dataclass type.
      path: the file.
      overrides: `dotted.key=value` assignments, the values in YAML, that take precedence over the file.

    Raises:
      ConfigError: the file is missing, is not YAML, or holds an unknown key or a value of the wrong type; an
        override is not an assignment.
    """
    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config file {path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"config file {path} is not valid YAML: {error}") from error
    try:
        return from_dict(cls, _override({} if tree is None else tree, overrides))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _override(tree: Any, overrides: Iterable[str]) -> Any:
    for text in overrides:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted.strip():
            raise ConfigError(f"override {text!r}: expected dotted.key=value, such as seminar.epochs=3.")
        *parents, leaf = dotted.strip().split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ConfigError(f"override {text!r}: {'.'.join(parents)} is not a mapping.")
        try:
            node[leaf] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"override {text!r}: the value is not YAML: {error}") from error
    return tree


def override(config: T, values: Mapping[str, Any]) -> T:
    """The same configuration with some of its keys replaced.

    Args:
      config: a dataclass.
      values: dotted key -> value, such as {"model.top_k": 20}, the values as YAML gives them.

    Raises:
      ConfigError: unknown key, or a value whose type is not the field's.
    """
    tree = dataclasses.asdict(config)  # type: ignore[call-overload]
    for dotted, value in values.items():
        *parents, leaf = dotted.split(".")
        node: Any = tree
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ConfigError(f"override {dotted!r}: {'.'.join(parents)} has no keys of its own.")
        node[leaf] = value
    return from_dict(type(config), tree)


def from_json(cls: type[T], text: str) -> T:
    """Reads `cls` from a JSON string, as `to_json` writes it (how TFX execution properties carry it)."""
    return from_dict(cls, json.loads(text))


def to_json(config: Any) -> str:
    """The configuration as canonical JSON: equal configurations give equal strings."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_dict(cls: type[T], tree: Any, where: str = "") -> T:
    """Builds dataclass `cls` from nested mappings.

    Args:
      cls: a dataclass type whose fields are scalars, tuples or dataclasses.
      tree: a mapping from field name to value.
      where: dotted path of `tree` in the whole configuration, for messages.

    Returns:
      An instance of `cls`; fields that `tree` lacks keep their defaults.

    Raises:
      ConfigError: unknown key, a missing one that has no default, or a value whose type is not the field's.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"config key {where or 'top level'}: expected a mapping, found {tree!r}.")
    hints = typing.get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in tree.items():
        dotted = f"{where}.{key}" if where else str(key)
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known keys: {', '.join(sorted(known))}."
            raise ConfigError(f"config key {dotted}: unknown.{hint}")
        values[key] = _convert(known[key], value, dotted)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"config key {where + '.' if where else ''}{field.name}: missing.")
    try:
        return cls(**values)
    except ConfigError as error:
        # The class names its own section; a class that serves several sections learns here which one it is.
        if not where:
            raise
        raise ConfigError(re.sub(r"^config key \w+\.", f"config key {where}.", str(error))) from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        options = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if value is None else _convert(options[0], value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"config key {where}: expected a list, found {value!r}.")
        item = typing.get_args(kind)[0]
        return tuple(_convert(item, v, f"{where}[{n}]") for n, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ConfigError(f"config key {where}: expected a mapping whose keys are text, found {value!r}.")
        return {key: _convert(typing.get_args(kind)[1], v, f"{where}.{key}") for key, v in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # YAML 1.1 reads 1e-3 as a string; people write it all the same.
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is not kind:
        raise ConfigError(f"config key {where}: expected {kind.__name__}, found {type(value).__name__} {value!r}.")
    return value
