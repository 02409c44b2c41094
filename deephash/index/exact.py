"""The exact engine that costs nothing to build: for subsets, additions and checks."""

from __future__ import annotations

from deephash.codes import BinaryCodes
from deephash.index.available import has_numba
from deephash.index.base import Engine


def plain_exact(codes: BinaryCodes, threads: int | None = None, *, prune: bool | None = False) -> Engine:
    """Return our scan, or Faiss's where Numba is missing; ``prune`` is used by the scan, None where it pays."""
    if has_numba():
        from deephash.index.scan import ScanEngine

        return ScanEngine(codes, threads=threads, prune=prune)
    from deephash.index.faiss_flat import FlatEngine

    return FlatEngine(codes, threads=threads)
