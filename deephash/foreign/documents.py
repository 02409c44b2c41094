"""JSON of strangers: bounded bytes, depth and numbers, no NaN, no key twice, then a JSON Schema (draft 2020-12).

The schemas lie in ``schemas/`` beside this file. jsonschema validates; ours is only the strict idea of an integer (the
standard lets 64.0 pass for one) and the sentence, which names the place and never repeats the document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.errors import FormatTooNew
from deephash.foreign.files import MIB, Unfit, read_bytes

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

SMALL = MIB  # of a description: model.json, collection.json
MAX_DEPTH = 32
MAX_VALUES = 500_000
_KINDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "null"}
_WORDS = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false", "null": "null"}


def read_json(
    path: str | Path,
    schema: str | Mapping[str, Any] | None,
    *,
    limit: int = SMALL,
    names_of_files: bool = False,
    no_numbers: bool = False,
    most_values: int = MAX_VALUES,
) -> dict[str, Any]:
    """Return the JSON mapping in a regular file.

    Args:
        path: of the file.
        schema: name of one in ``schemas/``, or a schema; None where the caller looks at the version first.
        limit: bytes.
        names_of_files: names that are not UTF-8 are allowed, as Python escapes them.
        no_numbers: NaN and Infinity, which older versions wrote, are read as null.
        most_values: how many values it may hold; a list of items has one an item.

    Raises:
        Absent: no such file.
        Unfit: it is no regular file, too long, no strict JSON, or does not fit the schema.
    """
    content = read_bytes(path, limit)
    document = parse_json(content, path, names_of_files=names_of_files, no_numbers=no_numbers, most_values=most_values)
    if schema is not None:
        require_schema(document, schema, path)
    return document


def parse_json(
    content: bytes | str,
    source: str | Path,
    *,
    names_of_files: bool = False,
    no_numbers: bool = False,
    most_values: int = MAX_VALUES,
) -> dict[str, Any]:
    """Return the JSON mapping in ``content``; ``source`` is its name in messages. Raises Unfit."""
    constant = (lambda name: None) if no_numbers else _no_constant
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        document = json.loads(
            text, object_pairs_hook=_without_repeats, parse_constant=constant, parse_int=_int, parse_float=_float
        )
    except UnicodeDecodeError:
        raise Unfit(f"{source} cannot be read: it is no UTF-8 text") from None
    except RecursionError:
        raise Unfit(f"{source} cannot be read: it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise Unfit(f"{source} cannot be read: it is no JSON: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(document, dict):
        raise Unfit(f"{source} cannot be read: it holds {_kind(document)}, not a mapping")
    _require_bounded(document, source, "surrogateescape" if names_of_files else "strict", most_values)
    return document


def require_version(record: Mapping[str, Any], folder: Path, kind: str, newest: int) -> None:
    """Raise FormatTooNew where a later deephash wrote the record; its schema may be another."""
    version = record.get("format_version")
    if isinstance(version, int) and version > newest:
        raise FormatTooNew(
            f"{folder} has {kind} format {version}; this deephash reads up to {newest}. "
            "Upgrade: pip install --upgrade deephash"
        )


def read_if_there(path: Path, schema: str, *, version: int, limit: int) -> dict[str, Any] | None:
    """Read a JSON file beside others; None where there is none, or one of a later ``version``, of another schema.

    Raises:
        Unfit: it cannot be read, or does not fit the schema.
    """
    if not os.path.lexists(path):
        return None
    record: dict[str, Any] = read_json(path, None, limit=limit)
    found = record.get("format_version")
    if isinstance(found, int) and found > version:
        return None
    require_schema(record, schema, path)
    return record


def require_schema(document: Any, schema: str | Mapping[str, Any], source: str | Path) -> None:
    """Raise Unfit, naming the place, unless ``document`` fits the schema."""
    validator = _named(schema) if isinstance(schema, str) else _validator(schema)
    error = next(validator.iter_errors(document), None)
    if error is not None:
        raise Unfit(f"{source} cannot be read: it {_sentence(error)}")


@cache
def _named(name: str) -> Validator:
    path = Path(__file__).with_name("schemas") / f"{name}.json"
    return _validator(json.loads(path.read_text(encoding="utf-8")))


def _validator(schema: Mapping[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator, validators

    strict = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    validator: Validator = validators.extend(Draft202012Validator, type_checker=strict)(schema)
    return validator


def _sentence(error: ValidationError) -> str:
    while error.context:  # the branch of anyOf that came farthest
        error = max(error.context, key=lambda each: len(each.absolute_path))
    place = ".".join(str(part)[:40] for part in error.absolute_path)
    where, value, rule = f"says {place or 'something'}", error.instance, error.validator_value
    if error.validator == "required":
        lacking = ", ".join(sorted(name for name in rule if name not in value))
        return f"lacks {f'{place}: ' if place else ''}{lacking}"
    if error.validator == "additionalProperties" and rule is False:
        known = error.schema.get("properties", {})
        unknown = next(name for name in value if name not in known)
        return f"has an unknown entry {unknown[:60]!r}{f' in {place}' if place else ''} (known: {', '.join(known)})"
    if error.validator == "type":
        kinds = [rule] if isinstance(rule, str) else rule
        return f"{where} is {_shown(value)}, which is not {' or '.join(map(_in_words, kinds))}"
    limits = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "enum": "one of",
        "const": "only",
    }
    sizes = {"minItems": "at least", "maxItems": "at most", "maxProperties": "at most", "minLength": "at least"}
    if error.validator in limits:
        allowed = ", ".join(map(str, rule)) if isinstance(rule, list) else rule
        return f"{where} is {_shown(value)}; it can be {limits[error.validator]} {allowed}"
    if error.validator in sizes or error.validator == "maxLength":
        return f"{where} has a length of {len(value)}; it can be {sizes.get(error.validator, 'at most')} {rule}"
    return f"{where} is {_shown(value)}, which is not of the right form"


def _in_words(kind: str) -> str:
    return _WORDS.get(kind, "a whole number" if kind == "integer" else "a number")


def _shown(value: Any) -> str:
    return (
        repr(value) if isinstance(value, (int, float)) else repr(value)[:40] if isinstance(value, str) else _kind(value)
    )


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _require_bounded(document: Any, source: str | Path, errors: str, most_values: int) -> None:
    """Walk without recursion: depth, number of values, and text that could be written nowhere."""
    layer, depth, count = [document], 0, 0
    while layer:
        depth, count = depth + 1, count + len(layer)
        if depth > MAX_DEPTH or count > most_values:
            limit = f"{MAX_DEPTH} levels deep" if depth > MAX_DEPTH else f"{most_values:,} values long"
            raise Unfit(f"{source} cannot be read: it is more than {limit}")
        below: list[Any] = []
        for value in layer:
            if isinstance(value, dict):
                below += value
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not _is_unicode(value, errors):
                raise Unfit(f"{source} cannot be read: it holds text that is no Unicode, {value[:20]!r}")
        layer = below


def _is_unicode(text: str, errors: str) -> bool:
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("it has a key twice")
    return mapping


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _int(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{digits[:20]}... does not fit 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits[:20]} is beyond every floating-point number")
    return number
