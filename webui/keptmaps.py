"""Clusters and map places of codes: the same codes always give the same, so a restart reads them back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.search import clusters, code_map
from deephash.search.clusters import Clusters, clustered

from .kept import Kept, kept_or_made, key_of

Places = NDArray[np.uint16]


def kept_clusters(collection: Collection, codes: BinaryCodes, *, writes: bool) -> Clusters:
    """Return the clusters of codes, see :func:`~deephash.search.clusters.clustered`."""
    total = len(codes)
    return kept_or_made(
        collection,
        "clusters",
        _key(codes, clusters.SAMPLE, clusters.SWEEPS, clusters.MOST),
        make=lambda: clustered(codes),
        pack=lambda found: Kept(_arrays(found)),
        unpack=lambda kept: _clusters(kept, total),
        writes=writes,
    )


def kept_map(collection: Collection, codes: BinaryCodes, *, writes: bool) -> tuple[Places, Clusters]:
    """Return places uint16 [N, 2], see :func:`~deephash.search.code_map.code_map`, and clusters."""
    total = len(codes)

    def make() -> tuple[Places, Clusters]:
        places = np.rint(np.clip(code_map.code_map(codes), 0, 1) * 65535).astype(np.uint16)
        return places, clustered(codes)

    return kept_or_made(
        collection,
        "map",
        _key(codes, clusters.SAMPLE, clusters.SWEEPS, clusters.MOST, code_map.LANDMARKS, code_map.SWEEPS),
        make=make,
        pack=lambda found: Kept({"across": found[0], **_arrays(found[1])}),
        unpack=lambda kept: (kept.array("across", "uint16", total, 2), _clusters(kept, total)),
        writes=writes,
    )


def _key(codes: BinaryCodes, *settings: int) -> str:
    """Name the codes, in their order, and how they are laid out; ids do not matter, for rows are kept, not items."""
    return key_of(f"{codes.num_bits} {codes.num_levels} {settings}", codes.packed)


def _arrays(found: Clusters) -> dict[str, NDArray[np.int64]]:
    return {"of": found.of, "middles": found.middles, "sizes": found.sizes}


def _clusters(kept: Kept, total: int) -> Clusters:
    middles = kept.places("middles", total, None)
    of = kept.places("of", len(middles), total)
    sizes = kept.array("sizes", "int64", len(middles))
    if not np.array_equal(np.bincount(of, minlength=len(middles)), sizes):
        raise ValueError("the clusters are not as large as they say")
    return Clusters(of, middles, sizes)
