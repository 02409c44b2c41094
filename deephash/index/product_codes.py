"""Product codes: one byte for each of M parts of a vector, the number of the nearest of C centroids there. NumPy only.

Jegou, Douze, Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011. Queries stay float (asymmetric):
the score of an item is <q, what its code stands for>, the sum of M entries of tables made once a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError

MOST_CENTROIDS = 256
BLOCK = 1 << 14  # vectors quantised, or codes scored, at a time


@dataclass(frozen=True, eq=False)
class ProductQuantizer:
    """Sub-codebooks, and from vectors to codes and back.

    Attributes:
        centroids: float32 [M, C, D / M].

    Raises:
        UsageError: another shape, NaN, or more centroids than a byte can name.
    """

    centroids: NDArray[np.float32]

    def __post_init__(self) -> None:
        table = np.ascontiguousarray(self.centroids, np.float32)
        if table.ndim != 3 or not table.size or table.shape[1] > MOST_CENTROIDS or not np.isfinite(table).all():
            raise UsageError(
                f"sub-codebooks are finite numbers [parts, at most {MOST_CENTROIDS} centroids, width of a part], not "
                f"of shape {list(table.shape)}"
            )
        object.__setattr__(self, "centroids", table)

    @property
    def parts(self) -> int:
        """M, the bytes of a code."""
        return int(self.centroids.shape[0])

    @property
    def dims(self) -> int:
        """D of the vectors."""
        return self.parts * int(self.centroids.shape[2])

    def checked(self, vectors: ArrayLike, what: str = "vectors") -> NDArray[np.float32]:
        """Return float32 [N, D]. Raises UsageError for another shape, NaN and infinity."""
        rows = np.asarray(vectors)
        if rows.ndim != 2 or rows.shape[1] != self.dims or rows.dtype.kind not in "fiu":
            raise UsageError(f"{what} are numbers [N, {self.dims}], not {rows.dtype} of shape {list(rows.shape)}")
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32, copy=False)
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))  # what float32 cannot hold is infinity by now
        if len(broken):
            raise UsageError(f"{len(broken):,} {what} hold NaN or infinity, the first in row {broken[0]}")
        return rows

    def encode(self, vectors: ArrayLike) -> BinaryCodes:
        """Return codes of M bytes; of equally near centroids the first is taken."""
        rows = self.checked(vectors)
        codes = np.empty((len(rows), self.parts), np.uint8)
        norms = np.square(self.centroids).sum(axis=2)
        for first in range(0, len(rows), BLOCK):
            cut = rows[first : first + BLOCK].reshape(-1, self.parts, self.centroids.shape[2])
            for part, table in enumerate(self.centroids):
                codes[first : first + BLOCK, part] = (norms[part] - 2 * cut[:, part] @ table.T).argmin(axis=1)
        return BinaryCodes(codes, 8 * self.parts)

    def decode(self, codes: BinaryCodes) -> NDArray[np.float32]:
        """Return what codes stand for, float32 [N, D]."""
        packed = self.require(codes).packed
        found: NDArray[np.float32] = self.centroids[np.arange(self.parts), packed].reshape(len(codes), self.dims)
        return found

    def require(self, codes: BinaryCodes) -> BinaryCodes:
        """Return ``codes``. Raises UsageError unless they are codes of these codebooks."""
        if codes.num_bits != 8 * self.parts or not codes.layout.is_flat:
            raise UsageError(f"product codes of {self.parts} bytes were expected, not {codes.describe()}")
        if codes.packed.max(initial=0) >= self.centroids.shape[1]:
            raise UsageError(f"these product codes name centroids beyond the {self.centroids.shape[1]} of the model")
        return codes

    def tables(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the inner product of each part of each query with each centroid, [Q, M, C]."""
        cut = queries.reshape(len(queries), self.parts, -1).astype(np.float64)
        return np.asarray(np.einsum("qmd,mcd->qmc", cut, self.centroids.astype(np.float64)))


def scores_by_tables(tables: NDArray[np.float64], packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the scores of codes [n, M] against one query's tables [M, C], float32 [n]; equal codes score equal.

    Parts are added in one order and rounded once, whatever the number of codes.
    """
    total: NDArray[Any] = np.zeros(len(packed))
    for part, table in enumerate(tables):
        total += table[packed[:, part]]
    return total.astype(np.float32)
