"""Read the filters people type: ``label=cat and year>=2019 and path~"2023/**"``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deephash.collection.filters import Condition, Filter, Where
from deephash.errors import UsageError

_OPERATORS = {"=": "eq", "==": "eq", "!=": "ne", ">=": "gte", "<=": "lte", ">": "gt", "<": "lt", "~": "glob"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<symbol>==|!=|>=|<=|[=<>~(),])|(?P<word>[^\s"'=<>~!(),]+))""",
    re.DOTALL,
)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([kKMG]?)")
_SCALE = {"": 1, "k": 1000, "K": 1000, "M": 1_000_000, "G": 1_000_000_000}
_MAX_DEPTH = 20
_HELP = 'for example: label=cat and year>=2019 and path~"2023/**" (also: in (a, b), contains, exists, missing, or, not)'


def as_filter(where: Where) -> Filter:
    """Return a Filter from a Filter, from data, or from text such as ``label=cat and year>=2019``."""
    if isinstance(where, Filter):
        return where
    return parse_where(where) if isinstance(where, str) else Filter.from_data(where)


def parse_where(text: str) -> Filter:
    """Return the filter that ``text`` describes; an empty text passes every row.

    Comparisons are ``= != < <= > >=``, ``~`` (glob), ``contains``, ``in (a, b)``, ``exists`` and ``missing``; they are
    joined by ``and``, ``or``, ``not`` and brackets. Values are numbers (``1M`` is a million), dates, true, false, plain
    words, or text in quotes.

    Raises:
        UsageError: with the place where reading stopped.
    """
    tokens = _tokens(text)
    if not tokens:
        return Filter()
    reader = _Reader(text, tokens)
    found = reader.alternatives()
    if reader.peek() is not None:
        raise reader.problem("expected 'and' or 'or'")
    return found if isinstance(found, Filter) else Filter("and", (found,))


@dataclass(frozen=True)
class _Token:
    text: str
    quoted: bool
    place: int


def _tokens(text: str) -> list[_Token]:
    tokens, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise UsageError(f"cannot read the filter at {text[place:].strip()[:30]!r}; {_HELP}")
        quoted = match.group("quoted") is not None
        content = (
            re.sub(r"\\(.)", r"\1", match.group("quoted")[1:-1], flags=re.DOTALL) if quoted else match.group().strip()
        )
        tokens.append(_Token(content, quoted, match.start()))
        place = match.end()
    return tokens


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text, self.tokens, self.next, self.depth = text, tokens, 0, 0

    def peek(self) -> _Token | None:
        return self.tokens[self.next] if self.next < len(self.tokens) else None

    def accept(self, *words: str) -> str | None:
        token = self.peek()
        if token is None or token.quoted or token.text.lower() not in words:
            return None
        self.next += 1
        return token.text.lower()

    def problem(self, expected: str) -> UsageError:
        token = self.peek()
        where = repr(self.text[token.place :].strip()[:30]) if token else "its end"
        return UsageError(f"cannot read the filter at {where}: {expected}; {_HELP}")

    def alternatives(self) -> Filter | Condition:
        return self._joined("or", lambda: self._joined("and", self.negation))

    def _joined(self, word: str, part: Callable[[], Filter | Condition]) -> Filter | Condition:
        parts = [part()]
        while self.accept(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Filter(word, tuple(parts))

    def negation(self) -> Filter | Condition:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise UsageError(f"a filter nests at most {_MAX_DEPTH} levels deep")
        try:
            if self.accept("not"):
                return Filter("not", (self.negation(),))
            if self.accept("("):
                inner = self.alternatives()
                if not self.accept(")"):
                    raise self.problem("expected ')'")
                return inner
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> Condition:
        token = self.peek()
        if token is None or (not token.quoted and not re.match(r"\w", token.text)):
            raise self.problem("expected the name of a column")
        self.next += 1
        if word := self.accept("exists", "missing"):
            return Condition(token.text, "exists", word == "exists")
        if self.accept("contains"):
            return Condition(token.text, "contains", self.take("a text").text)
        if self.accept("in"):
            return Condition(token.text, "in", self.members())
        symbol = self.accept(*_OPERATORS)
        if symbol is None:
            raise self.problem("expected = != < <= > >= ~ in contains exists or missing")
        value = self.take("a value")
        return Condition(token.text, _OPERATORS[symbol], value.text if symbol == "~" else _value(value))

    def take(self, expected: str) -> _Token:
        token = self.peek()
        if token is None or (not token.quoted and token.text in {*_OPERATORS, "(", ")", ","}):
            raise self.problem(f"expected {expected}")
        self.next += 1
        return token

    def members(self) -> list[Any]:
        if not self.accept("("):
            raise self.problem("expected '(' after in")
        values = [_value(self.take("a value"))]
        while self.accept(","):
            values.append(_value(self.take("a value")))
        if not self.accept(")"):
            raise self.problem("expected ',' or ')'")
        return values


def _value(token: _Token) -> Any:
    if token.quoted:
        return token.text
    if token.text.lower() in ("true", "false"):
        return token.text.lower() == "true"
    number = _NUMBER.fullmatch(token.text)
    if number is None:
        return token.text
    value = float(number[1]) * _SCALE[number[2]]
    is_whole = number[1].lstrip("+-").isdigit()
    return int(number[1]) * _SCALE[number[2]] if is_whole else value
