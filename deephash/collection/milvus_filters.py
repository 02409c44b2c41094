"""Filters in the language of a Milvus server: the one other translation of a :class:`Filter`, beside that to SQL.

A row on the server has two fields for each attribute: its value, and whether it has one. What the language cannot say
(patterns inside a text, texts without regard to case) is left to the collection, which lists the ids instead.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from deephash.collection.filters import OPPOSITE, SYMBOLS, Condition, Filter, Kinds, moment
from deephash.index.milvus.table import ID, set_field, value_field

LONGEST = 1 << 20  # characters of an expression, far below what a server takes at once
_NONE, _ALL = f"{ID} in []", f"not ({ID} in [])"


class Untold(Exception):
    """The server's language has no words for it."""


def to_milvus(rule: Filter, kinds: Kinds, told: Kinds) -> str | None:
    """Return the expression that says the same as ``rule``, or None where it cannot be said.

    Args:
        rule: a filter that fits the collection, as :meth:`Filter.to_sql` judges.
        kinds: of all columns of the collection.
        told: of those that the server has.
    """
    if rule.joint == "and" and not rule.parts:
        return ""
    try:
        text = _expression(rule, kinds, told, positive=True)
    except Untold:
        return None
    return text if len(text) <= LONGEST else None


def microseconds(value: datetime) -> int:
    """Return a stored time (UTC without a zone) as the server has it, microseconds since 1970."""
    since = value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _expression(part: Filter | Condition, kinds: Kinds, told: Kinds, *, positive: bool) -> str:
    if isinstance(part, Condition):
        return _condition(part, kinds, told, positive)
    if part.joint == "not":
        return _expression(part.parts[0], kinds, told, positive=not positive)
    word = " and " if (part.joint == "and") is positive else " or "
    pieces = [_expression(inner, kinds, told, positive=positive) for inner in part.parts]
    return f"({word.join(pieces)})" if pieces else (_ALL if word == " and " else _NONE)


def _condition(condition: Condition, kinds: Kinds, told: Kinds, positive: bool) -> str:
    name = "uri" if condition.column == "path" and "path" not in kinds else condition.column
    if name not in told:
        raise Untold
    if condition.operation == "ne":
        return _condition(Condition(name, "eq", condition.value), kinds, told, not positive)
    has, kind = set_field(name), kinds[name]
    if condition.operation == "exists":
        return f"{has} == {'true' if condition.value is positive else 'false'}"
    yes, no = _tests(condition, value_field(name), kind)
    return f"({has} == true and {yes})" if positive else f"({has} == false or {no})"


def _tests(condition: Condition, field: str, kind: str) -> tuple[str, str]:
    """Return expressions for a row that has a value: (the test holds, it does not hold)."""
    operation, value = condition.operation, condition.value
    if operation in ("glob", "contains"):
        raise Untold
    if operation == "in":
        literals = [_literal(kind, each) for each in value if not _is_fraction(kind, each)]
        listed = f"{field} in [{', '.join(literals)}]" if literals else _NONE
        return listed, f"not ({listed})"
    if _is_fraction(kind, value):
        if operation == "eq":
            return _NONE, _ALL
        above, below = f"{field} >= {math.floor(value) + 1}", f"{field} <= {math.floor(value)}"
        return (above, below) if operation in ("gt", "gte") else (below, above)
    literal = _literal(kind, value)
    return f"{field} {_SIGNS[SYMBOLS[operation]]} {literal}", f"{field} {_SIGNS[OPPOSITE[operation]]} {literal}"


_SIGNS = {"=": "==", "<>": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}


def _is_fraction(kind: str, value: Any) -> bool:
    return kind == "integer" and isinstance(value, float) and value != math.floor(value)


def _literal(kind: str, value: Any) -> str:
    if kind == "text":
        return _text(value)
    if kind == "yes/no":
        return "true" if value else "false"
    if kind == "time":
        return str(microseconds(moment(value)))
    if kind == "integer":
        if int(value) == -(2**63):
            raise Untold  # its digits alone would overflow
        return str(int(value))
    return repr(float(value))


def _text(value: str) -> str:
    """Quote a text. One that could end the quotes, or be read otherwise, is left to the collection."""
    if any(ord(letter) < 32 or letter in '"\\' or ord(letter) == 127 for letter in value):
        raise Untold
    return f'"{value}"'
