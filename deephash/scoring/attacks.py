"""Attacked queries: read them, put them into the order of the clean ones, number their targets like the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile, number_labels, require_labels
from deephash.reports.attack import Attack
from deephash.scoring.sides import CodePair


def attack_of(pair: CodePair, attacked: CodeFile) -> Attack:
    """Return the attack on the queries of ``pair``.

    Raises:
        UsageError: other queries or code lengths, or targets that are no labels of the database.
    """
    clean = pair.query
    if (attacked.codes.num_bits, attacked.codes.num_levels) != (clean.codes.num_bits, clean.codes.num_levels):
        raise UsageError(
            f"{attacked.source} has {attacked.codes.describe()}, {clean.source} has {clean.codes.describe()}: attacked "
            "queries need codes of the same length"
        )
    rows = _rows_of(clean, attacked)
    targets = None
    if attacked.targets is not None:
        columns = [(side.source, require_labels(side)) for side in (clean, pair.database)]
        numbered, _ = number_labels([*columns, (f"targets of {attacked.source}", attacked.targets)])
        targets = numbered[2][rows]
    return Attack(attacked.codes[rows], targets)


def _rows_of(clean: CodeFile, attacked: CodeFile) -> NDArray[Any]:
    """Return the row of each clean query in the attacked file: by name where both have names, else by order."""
    if clean.names is None or attacked.names is None:
        if len(clean) != len(attacked):
            raise UsageError(
                f"{attacked.source} has {len(attacked):,} attacked queries for {len(clean):,} of {clean.source}; "
                "without an array 'names' in both they are matched by order, and each needs one"
            )
        return np.arange(len(clean))
    place = {name: row for row, name in enumerate(attacked.names.tolist())}
    missing = [name for name in clean.names.tolist() if name not in place]
    if missing or len(place) != len(attacked):
        wrong = f"lacks {len(missing):,} queries, the first {missing[0]!r}" if missing else "names a query twice"
        raise UsageError(f"{attacked.source} {wrong}; it needs each query of {clean.source} once")
    return np.array([place[name] for name in clean.names.tolist()])
