"""What a filter that nothing passes may have meant: values of its columns that are spelt nearly so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from deephash.collection.filters import Condition, Filter, Where
from deephash.collection.parser import as_filter
from deephash.collection.reader import CollectionReader

SHOWN = 5


def near_values(collection: CollectionReader, where: Where) -> list[str]:
    """Return a sentence for each value of a text column that ``where`` asks for and no row has, with near ones.

    Where none is near, the commonest values are named, unless nearly every row has its own.
    """
    kinds = collection.attribute_kinds
    asked = [each for each in _wanted(as_filter(where)) if kinds.get(each.column) == "text" and each.column != "path"]
    return [
        sentence
        for condition in asked
        for value in (condition.value if condition.operation == "in" else [condition.value])
        if (sentence := _sentence(collection, condition.column, str(value)))
    ]


def _wanted(part: Filter | Condition) -> Iterator[Condition]:
    if isinstance(part, Condition):
        if part.operation in ("eq", "in"):
            yield part
    elif part.joint != "not":
        for inner in part.parts:
            yield from _wanted(inner)


def _sentence(collection: CollectionReader, column: str, value: str) -> str:
    cells = collection.table([column]).column(1).drop_null().to_pylist()
    counts = Counter(cells)
    if value in counts:
        return ""
    near = _near(value, counts)
    if near:
        return f"no {column} is {value!r}; did you mean {' or '.join(map(repr, near))}?"
    if not counts:
        return f"no item has a {column}"
    if len(counts) > len(cells) / 2 and len(counts) > SHOWN:
        return f"no {column} is {value!r}"
    common = ", ".join(repr(name) for name, _ in counts.most_common(SHOWN))
    more = f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
    return f"no {column} is {value!r}; there are {common}{more}"


def _near(value: str, counts: Counter[str]) -> list[str]:
    """Return at most three values: the same in other letters, else the most alike."""
    lower: dict[str, list[str]] = {}
    for name in counts:
        lower.setdefault(name.lower(), []).append(name)
    alike = [value.lower()] if value.lower() in lower else get_close_matches(value.lower(), lower, n=3, cutoff=0.6)
    return [name for each in alike for name in lower[each]][:3]
