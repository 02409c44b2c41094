"""Codes in groups of neighbours: k-modes, whose centres are codes themselves (each bit by majority)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes

SAMPLE = 20_000  # codes that the centres are fitted to; all others go to the nearest
SWEEPS = 20
MOST = 24  # groups, where nobody asks for another number
BLOCK = 1 << 14
Signs = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clusters:
    """What belongs together.

    Attributes:
        of: int64 [N], the cluster of each code; largest cluster first.
        middles: int64 [C], the row of the code nearest to the centre of each.
        sizes: int64 [C].
    """

    of: NDArray[np.int64]
    middles: NDArray[np.int64]
    sizes: NDArray[np.int64]


def clustered(codes: BinaryCodes, count: int | None = None, *, seed: int = 0) -> Clusters:
    """Put codes into at most ``count`` clusters; the same codes always give the same.

    Args:
        codes: N of them.
        count: how many clusters; None takes about the root of half their number, 24 at most.
        seed: of the first centres.
    """
    total = len(codes)
    if not total:
        none = np.empty(0, np.int64)
        return Clusters(none, none, none)
    generator = np.random.default_rng(seed)
    sample = _signs(codes[np.sort(generator.permutation(total)[:SAMPLE])])
    wanted = count or min(MOST, max(1, round((total / 2) ** 0.5)))
    centres = _fitted(sample, _seeded(sample, wanted, generator))
    nearest, apart = _assigned(codes, centres)
    used = np.unique(nearest)
    sizes = np.bincount(nearest, minlength=len(centres))[used]
    order = used[np.argsort(-sizes, kind="stable")]
    place = np.zeros(len(centres), np.int64)
    place[order] = np.arange(len(order))
    of = place[nearest]
    by_distance = np.lexsort((np.arange(total), apart, of))
    firsts = np.searchsorted(of[by_distance], np.arange(len(order)))
    return Clusters(of, by_distance[firsts], np.sort(sizes)[::-1])


def _signs(codes: BinaryCodes) -> Signs:
    """Return +1 and -1, float32 [N, bits of all levels]."""
    return np.where(codes.bits().reshape(len(codes), -1), np.float32(1), np.float32(-1))


def _seeded(signs: Signs, count: int, generator: np.random.Generator) -> Signs:
    """Choose distinct codes as first centres, each with a chance that grows with its distance (k-means++)."""
    chosen = [int(generator.integers(len(signs)))]
    far = signs.shape[1] - signs @ signs[chosen[0]]
    while len(chosen) < count and far.max() > 0.5:
        weights = far.astype(np.float64)
        chosen.append(int(generator.choice(len(signs), p=weights / weights.sum())))
        far = np.minimum(far, signs.shape[1] - signs @ signs[chosen[-1]])
    return signs[chosen]


def _fitted(signs: Signs, centres: Signs) -> Signs:
    """Move the centres to the majority of their codes until nothing changes; a tie keeps the centre's bit."""
    before = None
    for _ in range(SWEEPS):
        nearest = (signs @ centres.T).argmax(axis=1)
        if before is not None and np.array_equal(nearest, before):
            break
        before = nearest
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, signs)
        centres = np.where(sums == 0, centres, np.sign(sums)).astype(np.float32)
    return centres


def _assigned(codes: BinaryCodes, centres: Signs) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    nearest, apart = np.empty(len(codes), np.int64), np.empty(len(codes), np.float32)
    for start in range(0, len(codes), BLOCK):
        agree = _signs(codes[start : start + BLOCK]) @ centres.T
        nearest[start : start + BLOCK] = agree.argmax(axis=1)
        apart[start : start + BLOCK] = -agree.max(axis=1)
    return nearest, apart
