"""Merging: one order for the hits of models whose distances cannot be compared, by what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from heapq import merge

import numpy as np

from deephash.search.finding import Found
from deephash.search.hits import Hit
from deephash.search.query import AUTO, Options
from deephash.search.snapshot import Shard


def merged(parts: Sequence[tuple[Shard, Found]], k: int, itself: int | None = None) -> list[Hit]:
    """Return the ``k`` hits that chance explains least, each with its probability.

    7 of 64 bits of one model may be nearer than 5 of 256 of another, or not: a distance alone does not tell. How often
    an unrelated item of the same model lies so near does. Equal probabilities stand in the order of ``parts``; hits of
    one model keep theirs. An item that asks, ``itself``, stands first where it is among the hits.
    """
    columns = [
        [(hit.id != itself, float(shard.by_chance[hit.distance]), place, hit.rank, hit) for hit in found.hits]
        for place, (shard, found) in enumerate(parts)
    ]
    best = list(merge(*columns, key=lambda entry: entry[:4]))[:k]
    return [replace(hit, rank=rank, by_chance=chance) for rank, (_, chance, _, _, hit) in enumerate(best, start=1)]


def options_of(shard: Shard, current: Shard, options: Options) -> Options | None:
    """Return ``options`` for a shard: a cut-off in bits of the current model becomes the same probability there.

    None where not even an equal code is so improbable.
    """
    if shard is current or options.max_distance is None or options.max_distance == AUTO:
        return options
    asked = min(options.max_distance, len(current.by_chance) - 1)
    reach = int(np.searchsorted(shard.by_chance, current.by_chance[asked], side="right")) - 1
    return None if reach < 0 else replace(options, max_distance=reach)


def engines_of(parts: Sequence[tuple[Shard, Found]]) -> str:
    """Return which engine answered for each model, and how the answers became one."""
    lines = [
        f"model version {shard.model.number}, {shard.model.called}, {len(shard):,} items: {found.engine}"
        for shard, found in parts
    ]
    return "\n".join([*lines, "merged: by the probability that an unrelated item of the same model lies so near"])
