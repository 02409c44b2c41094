"""QB-Norm: querybank normalisation of cross-modal similarities, on float scores and on binary codes.

Bogolin, Croitoru, Jin, Liu, Albanie, Cross Modal Retrieval with Querybank Normalisation, CVPR 2022. Some gallery items
are near every query ("hubs") and push right answers down. A bank of training queries, of the same modality as the
queries and disjoint from them, tells which; each item is then judged against how much the bank likes it.

On codes of K bits s = (K - 2 d) / K has the scale of a cosine, and the inverted softmax becomes **one float an item
added to the Hamming distance**. So the correction is stored beside the codes and applied to a shortlist, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, distance_blocks
from deephash.errors import UsageError
from deephash.index.base import Selection
from deephash.index.ids import AscendingIds
from deephash.numbers import whole

Floats = NDArray[np.floating]


# Float similarities; larger is better, inputs are never changed ------------------------------------


def inverted_softmax(similarities: Floats, probe: Floats, *, beta: float = 20.0) -> Floats:
    """Return scores [Q, G] that rank like exp(beta s_j) / sum_i exp(beta P_ij), computed without overflow.

    Args:
        similarities: [Q, G], queries against the gallery.
        probe: [N, G], the bank against the gallery, by the same encoder and on the same scale.
        beta: inverse temperature; 20 suits cosines, other scales need another.
    """
    _require_bank(similarities, probe)
    return beta * similarities - _log_mean_exp(beta * probe)


def dynamic_inverted_softmax(similarities: Floats, probe: Floats, *, beta: float = 20.0, top_k: int = 1) -> Floats:
    """Apply :func:`inverted_softmax` only to queries whose best item is a hub of the bank; others keep raw scores.

    Rows are on different scales afterwards: valid for ranking within a row only.
    """
    corrected = inverted_softmax(similarities, probe, beta=beta)
    hit = activation_set(probe, top_k=top_k)[similarities.argmax(axis=1)]
    chosen: Floats = np.where(hit[:, None], corrected, similarities)
    return chosen


def csls(similarities: Floats, probe: Floats, *, neighbours: int = 10) -> Floats:
    """Return 2 s_j - mean of the row's best - mean of the item's best in the bank (cross-domain local scaling)."""
    _require_bank(similarities, probe)
    own = _mean_of_largest(similarities, neighbours, axis=1)[:, None]
    return 2 * similarities - own - _mean_of_largest(probe, neighbours, axis=0)


def globally_corrected(similarities: Floats, probe: Floats) -> Floats:
    """Return minus the number of bank queries that like item j more, ties broken by s_j (a fraction below one)."""
    _require_bank(similarities, probe)
    ordered = np.sort(probe, axis=0)
    ahead = np.stack(
        [len(probe) - np.searchsorted(ordered[:, j], similarities[:, j], side="right") for j in range(probe.shape[1])],
        axis=1,
    )
    span = np.ptp(similarities) or 1.0
    score: Floats = -ahead + 0.5 * (similarities - similarities.min()) / span
    return score


def activation_set(probe: Floats, *, top_k: int = 1) -> NDArray[np.bool_]:
    """Return which gallery items [G] are among the ``top_k`` best of at least one bank query."""
    active = np.zeros(probe.shape[1], dtype=bool)
    active[np.argpartition(-probe, min(top_k, probe.shape[1]) - 1, axis=1)[:, :top_k]] = True
    return active


def _require_bank(similarities: Floats, probe: Floats) -> None:
    if probe.ndim != 2 or not len(probe) or probe.shape[1] != similarities.shape[1]:
        raise UsageError(
            f"the bank's similarities have shape [N, G] with G = {similarities.shape[1]} gallery items and N >= 1, "
            f"not {list(probe.shape)}"
        )


def _log_mean_exp(values: Floats) -> Floats:
    from scipy.special import logsumexp  # most who import this module keep no bank

    mean: Floats = logsumexp(values, axis=0) - np.log(len(values))
    return mean


def _mean_of_largest(values: Floats, count: int, axis: int) -> Floats:
    count = min(count, values.shape[axis])
    largest = np.partition(values, values.shape[axis] - count, axis=axis)
    kept: Floats = np.take(largest, range(values.shape[axis] - count, values.shape[axis]), axis=axis).mean(axis=axis)
    return kept


# Binary codes --------------------------------------------------------------------------------------


def hub_biases(gallery: BinaryCodes, bank: BinaryCodes, *, beta: float = 20.0) -> NDArray[np.float32]:
    """Return b [G]: ranking by d + b is the inverted softmax on codes, b_j = K / (2 beta) log mean_i exp(beta P_ij).

    An appended item needs its own entry only; a new bank means new biases. Repeating every bank query changes nothing.
    """
    histograms = bank_histograms(gallery, bank)
    similarity = 1 - 2 * np.arange(gallery.num_bits + 1) / gallery.num_bits
    from scipy.special import logsumexp

    log_mean = logsumexp(beta * similarity, b=histograms, axis=1) - np.log(len(bank))
    biases: NDArray[np.float32] = (gallery.num_bits / (2 * beta) * log_mean).astype(np.float32)
    return biases


def csls_biases(gallery: BinaryCodes, bank: BinaryCodes, *, neighbours: int = 10) -> NDArray[np.float32]:
    """Return b [G]: ranking by d + b is CSLS on codes, b_j = K / 4 times the mean of the item's best in the bank."""
    histograms = bank_histograms(gallery, bank)
    neighbours = min(neighbours, len(bank))
    before = np.cumsum(histograms, axis=1) - histograms
    taken = np.clip(neighbours - before, 0, histograms)  # how many of the nearest lie at each distance
    similarity = 1 - 2 * np.arange(gallery.num_bits + 1) / gallery.num_bits
    biases: NDArray[np.float32] = (gallery.num_bits / 4 * (taken @ similarity) / neighbours).astype(np.float32)
    return biases


def bank_histograms(gallery: BinaryCodes, bank: BinaryCodes) -> NDArray[np.int64]:
    """Return how many bank codes lie at each distance from each gallery item, [G, K + 1]."""
    if not len(bank):
        raise UsageError("the bank is empty; give codes of training queries")
    width = gallery.num_bits + 1
    counts = np.zeros((len(gallery), width), dtype=np.int64)
    for rows, _, block in distance_blocks(gallery, bank):
        local = np.arange(block.shape[0])[:, None] * width + block
        counts[rows] += np.bincount(local.ravel(), minlength=block.shape[0] * width).reshape(-1, width)
    return counts


def corrected_by_rank(distances: NDArray[np.integer], histograms: NDArray[np.int64]) -> Floats:
    """Return globally corrected distances [Q, G]: how many bank queries are nearer to item j, ties by d.

    Args:
        distances: [Q, G], integers 0..K.
        histograms: [G, K + 1] of :func:`bank_histograms`.
    """
    nearer = np.cumsum(histograms, axis=1) - histograms
    rank = np.take_along_axis(nearer.T, distances, axis=0)
    corrected: Floats = rank + distances / (2.0 * histograms.shape[1])
    return corrected


def active_items(gallery: BinaryCodes, bank: BinaryCodes) -> NDArray[np.bool_]:
    """Return which gallery items are nearest (ties included) to at least one bank code; the set of the dynamic form."""
    active = np.zeros(len(gallery), dtype=bool)
    for start in range(0, len(bank), 64):
        distances = bank[start : start + 64].hamming(gallery)
        active |= (distances == distances.min(axis=1, keepdims=True)).any(axis=0)
    return active


_Allowed: TypeAlias = AscendingIds | NDArray[np.int64] | Selection


class _Found(Protocol):
    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def distances(self) -> NDArray[np.int32]: ...


class _Searchable(Protocol):
    def __len__(self) -> int: ...
    def search(self, queries: BinaryCodes, k: int, *, allowed: _Allowed | None = None) -> _Found: ...


@dataclass(frozen=True)
class HubCorrection:
    """Stored beside the codes of a collection.

    Attributes:
        ids: int64 [G], ascending.
        biases: float32 [G], added to the Hamming distance.
        active: bool [G] for the dynamic form, or None to correct every query.
    """

    ids: NDArray[np.int64]
    biases: NDArray[np.float32]
    active: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.biases) or (np.diff(self.ids) <= 0).any():
            raise UsageError(f"one bias an item, ids ascending; got {len(self.ids)} ids, {len(self.biases)} biases")

    def search(
        self,
        index: _Searchable,
        queries: BinaryCodes,
        k: int,
        *,
        allowed: _Allowed | None = None,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]]:
        """Return for each query (ids, corrected distances, Hamming distances), best first, exactly as a full scan
        would.

        A shortlist is fetched by Hamming distance, corrected and sorted by (corrected, id). It is long enough once the
        k-th corrected distance is not above the last fetched distance plus the smallest bias; else it is doubled.
        """
        k = whole(k, "k, the number of answers,", least=1)
        return [self._search_one(index, queries[row], k, allowed) for row in range(len(queries))]

    def _search_one(
        self, index: _Searchable, query: BinaryCodes, k: int, allowed: _Allowed | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
        total = len(index) if allowed is None else min(len(index), len(allowed))
        fetch = min(total, max(4 * k, 64))
        while True:
            found = index.search(query, fetch, allowed=allowed)
            ids, distances = found.ids[0], found.distances[0]
            complete = fetch >= total or len(ids) < fetch
            applied = self._applied(ids, distances)
            corrected = distances + applied
            order = np.lexsort((ids, corrected))[:k]
            if complete or self._is_settled(distances, applied, corrected[order], k):
                return ids[order], corrected[order], distances[order]
            fetch = min(total, 2 * fetch)

    def _applied(self, ids: NDArray[np.int64], distances: NDArray[np.int32]) -> NDArray[np.float64]:
        rows = np.searchsorted(self.ids, ids)
        if len(ids) and ((rows >= len(self.ids)).any() or (self.ids[np.minimum(rows, len(self.ids) - 1)] != ids).any()):
            raise UsageError("the index holds items without a hub bias; compute biases of the items added")
        if self.active is not None and len(ids) and not self.active[rows[distances == distances.min()]].any():
            return np.zeros(len(ids))
        return self.biases[rows].astype(np.float64)

    def _is_settled(
        self, distances: NDArray[np.int32], applied: NDArray[np.float64], best: NDArray[np.float64], k: int
    ) -> bool:
        if self.active is not None and distances[-1] == distances[0]:
            return False  # the nearest item's ties are not all seen, so the dynamic decision is open
        smallest = float(self.biases.min()) if applied.any() else 0.0
        return len(best) == k and best[-1] < distances[-1] + smallest
