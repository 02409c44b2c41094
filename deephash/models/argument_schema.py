"""A constructor's annotations as a JSON Schema, and checked JSON values as what the constructor takes.

So ``init_args`` of a stranger's ``model.json`` are checked like everything else that comes through
:mod:`deephash.foreign`, and a new option of a method needs no second description.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

LARGEST = 2**31 - 1  # of counts and sizes; seeds may be any 64-bit number
_PLAIN: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST},
    float: {"type": "number"},
    str: {"type": "string", "maxLength": 4096},
    type(None): {"type": "null"},
}
_BOUNDS: dict[str, dict[str, Any]] = {  # by the name of the argument or field, wherever it is whole
    "num_bits": {"minimum": 1, "maximum": 2**20},
    "num_classes": {"minimum": 1, "maximum": 2**24},
    "image_size": {"minimum": 1, "maximum": 4096},
}


def schema_of_call(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the schema of a function's keyword arguments; those without a default are required."""
    hints = typing.get_type_hints(function)
    taken = {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}
    needed = [name for name, each in taken.items() if each.default is inspect.Parameter.empty]
    return _mapping({name: schema_of(hints.get(name, Any), name) for name in taken}, needed)


def schema_of(hint: Any, name: str = "") -> dict[str, Any]:
    """Return the schema of JSON values for an annotation."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _bounded(_PLAIN[hint], name)
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each, name) for each in inner]}
    if origin in (tuple, list):
        return {"type": "array", "maxItems": 10_000, "items": schema_of(inner[0] if inner else Any, name)}
    if is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return _mapping({each.name: schema_of(hints[each.name], each.name) for each in fields(hint)}, [])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "maxProperties": 1000, "additionalProperties": schema_of(inner[1], name)}
    return {}


def revive(hint: Any, value: Any) -> Any:
    """Turn a JSON ``value`` back into what a parameter annotated ``hint`` takes: dataclasses and tuples."""
    if value is None:
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kind = Mapping if isinstance(value, dict) else tuple
        able = [each for each in inner if _takes(each, kind)] if isinstance(value, (dict, list)) else []
        return revive(able[0], value) if able else value
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        return hint(**{key: revive(hints.get(key), item) for key, item in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict) and len(inner) == 2:
        return {key: revive(inner[1], item) for key, item in value.items()}
    return value


def _takes(hint: Any, kind: type) -> bool:
    origin = typing.get_origin(hint)
    if kind is tuple:
        return origin is tuple
    return is_dataclass(hint) or (isinstance(origin, type) and issubclass(origin, Mapping))


def _bounded(plain: dict[str, Any], name: str) -> dict[str, Any]:
    if plain["type"] != "integer":
        return plain
    if name.endswith("seed"):
        return {"type": "integer"}
    return plain | _BOUNDS.get(name, {})


def _mapping(properties: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
