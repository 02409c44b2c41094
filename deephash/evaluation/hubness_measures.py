"""Hubness: do a few items turn up in everybody's neighbour list?

N_k(j) is the number of queries that have item j among their k nearest. Its skewness is the usual measure (Radovanovic,
Nanopoulos, Ivanovic, JMLR 2010); the others follow Feldbauer et al. 2020 (scikit-hubness). Hamming distances are full
of ties, and taking tied items in database order would make hubs of the first ones, so an item tied at the edge counts
with the chance that it is among the k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes
from deephash.evaluation.arrays import as_codes
from deephash.evaluation.groups import FloatArray, IntArray
from deephash.evaluation.neighbourhoods import find_edges, neighbour_blocks


@dataclass(frozen=True, slots=True)
class Hubness:
    """Measures of a k-occurrence vector.

    Attributes:
        k: neighbours a query.
        skewness: E[(N_k - mean)^3] / std^3 (population moments); 0 when all items occur equally often.
        robin_hood: share of all occurrences that would have to move to make them equal, 0..1.
        antihub_rate: share of items that are nobody's neighbour.
        hub_occurrence: share of all occurrences taken by hubs, the items with N_k >= 2k.
        largest: the largest N_k.
    """

    k: int
    skewness: float
    robin_hood: float
    antihub_rate: float
    hub_occurrence: float
    largest: float


def k_occurrence(
    query_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    k: int = 10,
    own: IntArray | None = None,
) -> FloatArray:
    """Return N_k of each database item, expected over ties, [N]; the sum is k times the number of queries.

    Args:
        query_codes: Q codes.
        database_codes: N codes.
        k: neighbours a query.
        own: database row of each query, which is not its own neighbour, [Q]; None where queries are not searched.
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    edge = find_edges(queries, database, k, own=own)
    occurrence = np.zeros(len(database))
    for _, item, chance in neighbour_blocks(queries, database, edge, own=own):
        occurrence += np.bincount(item, weights=chance, minlength=len(occurrence))
    return occurrence


def hubness(
    query_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    k: int = 10,
    own: IntArray | None = None,
) -> Hubness:
    """Measure the hubness of a database for these queries; arguments as in ``k_occurrence``."""
    return measures_of_occurrence(k_occurrence(query_codes, database_codes, k=k, own=own), k)


def measures_of_occurrence(occurrence: FloatArray, k: int) -> Hubness:
    """Measure a k-occurrence vector [N]."""
    mean, total = float(occurrence.mean()), float(occurrence.sum())
    deviation = occurrence - mean
    spread = float(np.sqrt(np.square(deviation).mean()))
    return Hubness(
        k=k,
        skewness=float((deviation**3).mean()) / spread**3 if spread > 1e-12 * max(mean, 1.0) else 0.0,
        robin_hood=float(np.abs(deviation).sum() / (2 * total)) if total else 0.0,
        antihub_rate=float((occurrence == 0).mean()),
        hub_occurrence=float(occurrence[occurrence >= 2 * k].sum() / total) if total else 0.0,
        largest=float(occurrence.max()),
    )
