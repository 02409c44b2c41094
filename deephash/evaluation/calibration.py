"""Calibrated relevance: how probable it is that a hit at some distance is right, from pairs that are known.

Counts of relevant and irrelevant pairs at each distance give the likelihood ratio LR(d) = p(d | relevant) / p(d |
irrelevant), made to fall with distance by isotonic regression. How many items are relevant differs from query to query
and from collection to collection; that prior is found on the query's own distances by expectation maximisation
(Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deephash.evaluation.null import Floats

Counts = NDArray[np.integer]
ROUNDS = 30
SETTLED = 1e-4


def isotonic(values: NDArray[np.floating], weights: NDArray[np.number]) -> Floats:
    """Return the rising sequence nearest to ``values`` [M] in weighted squares: pool adjacent violators."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist()):
        means.append(value)
        masses.append(weight)
        sizes.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mass = masses[-2] + masses[-1]
            mean = (means[-2] * masses[-2] + means[-1] * masses[-1]) / mass
            means[-2:], masses[-2:], sizes[-2:] = [mean], [mass], [sizes[-2] + sizes[-1]]
    return np.repeat(means, sizes)


def likelihood_ratio(relevant: Counts, irrelevant: Counts) -> Floats:
    """Return LR(d), float64 [D + 1], falling, above 0 and finite.

    Args:
        relevant: [D + 1], relevant pairs at each distance; one or more in all.
        irrelevant: likewise.
    """
    pairs = relevant + irrelevant
    some = np.flatnonzero(pairs)
    share = 1 - isotonic(irrelevant[some] / pairs[some], pairs[some])
    # A stretch of n pairs without a counterexample shows no more than 1 - 1 / (2 n + 2).
    doubt = np.array([0.5 / (pairs[some][share == each].sum() + 1) for each in share])
    share = np.minimum.accumulate(np.clip(share, doubt, 1 - doubt))
    share = np.interp(np.arange(len(pairs)), some, share)
    return np.asarray(share / (1 - share) * (irrelevant.sum() / relevant.sum()))


def posterior(ratio: Floats, counts: Counts) -> Floats:
    """Return the probability that a hit at each distance is relevant, [D + 1], falling, inside 0..1.

    Args:
        ratio: LR(d), from :func:`likelihood_ratio`.
        counts: [D + 1], items at each distance from the query; one or more.
    """
    total = counts.sum()
    share = counts / total
    edge = 1 / (total + 1)
    prior = 0.5
    for _ in range(ROUNDS):
        found = float(share @ _posterior(ratio, prior))
        found = min(max(found, edge), 1 - edge)
        settled, prior = abs(found - prior) < SETTLED, found
        if settled:
            break
    return _posterior(ratio, prior)


def misfit(relevant: Floats, irrelevant: Floats, counts: Counts, chances: Floats) -> float:
    """Return how far a query's distances lie from the mixture that is to explain them, 0..1 (Kolmogorov).

    Args:
        relevant: p(d | relevant), [D + 1].
        irrelevant: p(d | irrelevant).
        counts: [D + 1], items at each distance from the query; one or more.
        chances: the :func:`posterior` of each distance, which says how many are taken to be relevant.
    """
    share = counts / counts.sum()
    prior = float(share @ chances)
    mixture = prior * relevant + (1 - prior) * irrelevant
    return float(np.abs(np.cumsum(share - mixture)).max())


def _posterior(ratio: Floats, prior: float) -> Floats:
    odds = ratio * (prior / (1 - prior))
    return np.asarray(odds / (1 + odds))
