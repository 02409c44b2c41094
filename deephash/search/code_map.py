"""A flat map of codes: near codes lie near each other, as far as two dimensions allow.

The principal components of the +-1 codes, refined by t-SNE on a few thousand of them (van der Maaten and Hinton, 2008);
every other code lies between its nearest ones. Distances between far groups mean nothing. The same codes always give
the same map: one thread, a fixed seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.progress import track

LANDMARKS = 3_000  # some 15 seconds on one core
COMPONENTS = 30
NEAREST = 3
PERPLEXITY = 30
SWEEPS = 500
LEAST_REFINED = 30  # codes, below which the principal components are all there is to say
BLOCK = 1 << 12
STEP = 0.004  # of the map's side, between items of one code, which lie on a spiral
GOLDEN = np.pi * (3 - np.sqrt(5))
Places = NDArray[np.float64]


def code_map(codes: BinaryCodes, *, seed: int = 0) -> Places:
    """Return places float64 [N, 2] in 0..1; items of one code lie side by side."""
    if not len(codes):
        return np.empty((0, 2))
    packed = codes.packed.reshape(len(codes), -1)
    _, first, of = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    places = _squared(_flat(_signs(codes[first]), seed))[of.ravel()]
    return _squared(_side_by_side(places, of.ravel()))


def _signs(codes: BinaryCodes) -> NDArray[np.float32]:
    return np.where(codes.bits().reshape(len(codes), -1), np.float32(1), np.float32(-1))


def _flat(signs: NDArray[np.float32], seed: int) -> Places:
    """Return places of distinct codes."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(signs))[:LANDMARKS])
    marks = signs[chosen]
    centre = marks.mean(axis=0)
    components = _components(marks - centre)
    projected = (marks - centre) @ components
    places = projected[:, :2].astype(np.float64)
    if len(chosen) >= LEAST_REFINED:
        places = _refined(projected, seed)
    return places if len(chosen) == len(signs) else _between(signs, marks, places)


def _components(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first principal components [D, at least 2]; the sign of each is fixed, so that maps agree."""
    _, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    found = vectors[:, ::-1][:, :COMPONENTS]
    found = found * np.where(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] < 0, -1, 1)
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1])))).astype(np.float32)


def _refined(projected: NDArray[np.float32], seed: int) -> Places:
    from sklearn.manifold import TSNE

    begin = projected[:, :2] / max(1e-6, float(projected[:, 0].std())) * 1e-4
    perplexity = min(PERPLEXITY, (len(projected) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=begin, max_iter=SWEEPS, random_state=seed, n_jobs=1)
    for _ in track([0], f"laying out {len(projected):,} codes"):
        places: Places = tsne.fit_transform(projected).astype(np.float64)
    return places


def _between(signs: NDArray[np.float32], marks: NDArray[np.float32], places: Places) -> Places:
    """Place every code between its nearest landmarks, the nearer ones counting more; a landmark stays where it is."""
    found = np.empty((len(signs), 2))
    starts = range(0, len(signs), BLOCK)
    for start in track(starts, f"placing {len(signs):,} codes", total=len(starts)):
        differing = (signs.shape[1] - signs[start : start + BLOCK] @ marks.T) / 2
        near = np.argpartition(differing, NEAREST, axis=1)[:, :NEAREST]
        weights = 1 / (np.take_along_axis(differing, near, axis=1) + 1e-3) ** 2
        found[start : start + BLOCK] = (places[near] * weights[..., None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    return found


def _side_by_side(places: Places, of: NDArray[np.int64]) -> Places:
    """Move items of one code apart, onto a spiral around their place."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], of[order])
    turn = np.empty(len(of))
    turn[order] = np.arange(len(of)) - starts
    radius = STEP * np.sqrt(turn)
    moved: Places = places + radius[:, None] * np.stack([np.cos(GOLDEN * turn), np.sin(GOLDEN * turn)], axis=1)
    return moved


def _squared(places: Places) -> Places:
    """Fit places into 0..1, both axes by one scale, in the middle."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = max(float((high - low).max()), 1e-9)
    fitted: Places = (places - (low + high) / 2) / scale + 0.5
    return fitted
