"""The sides of a series in one numbering: sessions taken apart, stages joined, and whether the queries are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile, number_labels, require_labels
from deephash.scoring.sides import CodePair


def in_one_numbering(stages: Sequence[CodePair]) -> tuple[list[CodeFile], list[CodeFile]]:
    """Return queries and databases with labels in one numbering. Raises UsageError where the sides do not fit."""
    if len(stages) < 2:
        raise UsageError(f"a series needs at least two stages, oldest first, not {len(stages)}")
    sides = [side for stage in stages for side in (stage.query, stage.database)]
    first = sides[0].codes
    for side in sides[1:]:
        if (side.codes.num_bits, side.codes.num_levels) != (first.num_bits, first.num_levels):
            raise UsageError(
                f"{sides[0].source} has {first.describe()}, {side.source} has {side.codes.describe()}: codes of "
                "different length cannot be searched together"
            )
    numbered, words = number_labels(_label_columns(sides))
    files = [
        replace(side, labels=labels, class_names=words or side.class_names)
        for side, labels in zip(sides, numbered, strict=True)
    ]
    return files[::2], files[1::2]


def _label_columns(sides: Sequence[CodeFile]) -> list[tuple[str, NDArray[Any]]]:
    """Return the labels; as words where each side has its own words for its class numbers."""
    columns = [(side.source, require_labels(side)) for side in sides]
    if len({side.class_names for side in sides}) == 1 or not all(side.class_names for side in sides):
        return columns
    if any(labels.ndim == 2 for _, labels in columns):
        raise UsageError("multi-hot labels need the same classes, in the same order, at every stage")
    return [
        (source, labels if labels.dtype.kind == "U" else np.array([*side.class_names, ""])[labels])
        for (source, labels), side in zip(columns, sides, strict=True)
    ]


def joined(sides: Sequence[CodeFile]) -> CodeFile:
    """Return the items of several files one behind the other; a column that one lacks is left out."""

    def column(name: str) -> NDArray[Any] | None:
        parts = [part for part in (getattr(side, name) for side in sides) if part is not None]
        return np.concatenate(parts) if len(parts) == len(sides) else None

    if len(sides) == 1:
        return sides[0]
    return CodeFile(
        codes=BinaryCodes.concatenate([side.codes for side in sides]),
        labels=column("labels"),
        names=column("names"),
        class_names=sides[0].class_names,
        source=" + ".join(side.source for side in sides),
        sessions=column("sessions"),
    )


def by_session(query: CodeFile, count: int) -> list[CodeFile]:
    """Split the queries of stage ``count`` by session. Raises UsageError where a session is missing."""
    if query.sessions is None:
        raise UsageError(f"{query.source} needs an array 'sessions' [N]: the session, from 1, that each query is of")
    found = np.unique(query.sessions).tolist()
    if found != list(range(1, count + 1)):
        raise UsageError(
            f"{query.source} has queries of sessions {', '.join(map(str, found))}; stage {count} needs those of all "
            f"sessions from 1 to {count}"
        )
    return [by_name(query.take(np.flatnonzero(query.sessions == session))) for session in found]


def by_name(query: CodeFile) -> CodeFile:
    """Return the queries in the order of their names, where they have some."""
    return query if query.names is None else query.take(np.argsort(query.names, kind="stable"))


def require_same_queries(queries: Sequence[CodeFile]) -> None:
    """Raise UsageError unless these are the same queries, encoded by several models."""
    first, *others = queries
    for other in others:
        if len(other) != len(first):
            raise UsageError(
                f"{first.source} has {len(first):,} queries and {other.source} {len(other):,}; "
                "each stage encodes the same queries of a session again"
            )
        named = first.names is not None and other.names is not None
        same = np.array_equal(first.names, other.names) if named else True  # type: ignore[arg-type]
        if not same or not np.array_equal(require_labels(first), require_labels(other)):
            raise UsageError(
                f"{first.source} and {other.source} differ in the {'labels' if same else 'names'} of their queries; "
                "each stage encodes the same queries of a session again"
            )
