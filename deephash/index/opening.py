"""``open_index``: from codes to an index that can be searched and changed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.index.base import CodeIndex
from deephash.index.engines import FAMILIES, Builder, Family, family_of, is_milvus
from deephash.index.live import LiveIndex
from deephash.numbers import whole


def open_index(kind: str, ids: NDArray[np.int64], codes: BinaryCodes, **options: Any) -> CodeIndex:
    """Build an index of ``kind`` over ``codes``, row i of which is known as ``ids[i]``.

    Args:
        kind: one of ``KINDS``, or the address of a table on a Milvus server, ``milvus:http://HOST:PORT/NAME``.
        ids: int64 [N], distinct; any order.
        codes: N codes; may be memory-mapped (then keep the ids ascending, and nothing is copied by ``scan``).
        options: of the kind: ``threads`` (all), ``prune`` (scan), ``num_lists`` and ``nprobe`` (faiss:ivf),
            ``ef_search``, ``neighbours`` and ``force`` (faiss:hnsw); each is described with its family's options.

    Raises:
        UsageError: a kind that does not exist, an option of another kind, ids that do not fit.
        EngineUnavailable: a server that does not answer, or refuses.
    """
    if is_milvus(kind):
        from deephash.index.milvus import open_milvus

        return open_milvus(kind, ids, codes, **options)
    family = family_of(kind)
    return LiveIndex(ids, codes, Builder(family, family.options(**_checked(family, options))))


def _checked(family: Family, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given. Raises UsageError for those of other families, and counts below 1."""
    given = {name: value for name, value in options.items() if value is not None}
    owners = {name: [each.name for each in FAMILIES.values() if name in _names(each)] for name in given}
    for name, value in given.items():
        if not owners[name]:
            known = sorted({option for each in FAMILIES.values() for option in _names(each)})
            raise UsageError(f"no index has an option {name!r}{did_you_mean(name, known)}")
        if family.name not in owners[name]:
            raise UsageError(f"{name} is an option of {', '.join(owners[name])}, not of {family.name}; leave it out")
        if name not in _SWITCHES:
            whole(value, name, least=1)
    return given


_SWITCHES = ("prune", "force")


def _names(family: Family) -> tuple[str, ...]:
    return tuple(field.name for field in fields(family.options))
