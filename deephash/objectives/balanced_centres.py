"""Further hash centres: CSQ's recipe, and nested centres whose every prefix keeps classes apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.objectives.centres import hadamard_centres, make_centres, random_signs
from deephash.objectives.signs import hamming_of_signs


def csq_centres(num_classes: int, num_bits: int, *, seed: int = 0, redraws: int = 20) -> Tensor:
    """Return centres [C, K] by the recipe of CSQ (CVPR 2020).

    The first C rows of [H; -H], H a Hadamard matrix; where C > 2K, further rows with exactly K/2 entries -1, drawn up
    to ``redraws`` times until the smallest distance is above K/4 and the mean at least K/2. The reference keeps the
    last draw when none passes; here the draw whose classes are furthest apart is kept.

    Raises:
        UsageError: K is not a power of two, or too small for C different codes.
    """
    if num_bits < math.log2(num_classes):
        raise UsageError(
            f"{num_classes} classes cannot get distinct centres with {num_bits} bits; "
            f"use at least {math.ceil(math.log2(num_classes))}"
        )
    base = hadamard_centres(min(num_classes, 2 * num_bits), num_bits)
    if len(base) == num_classes:
        return base
    generator = torch.Generator().manual_seed(int(seed))
    best, best_distance = base, -1.0
    for _ in range(redraws):
        centres = torch.cat([base, balanced_signs(num_classes - len(base), num_bits, generator)])
        smallest, mean = _smallest_and_mean(centres)
        if smallest > best_distance:
            best, best_distance = centres, smallest
        if smallest > num_bits / 4 and mean >= num_bits / 2:
            break
    if best_distance == 0:
        raise UsageError(f"no {num_classes} different balanced codes of {num_bits} bits were found; use more bits")
    return best


def balanced_signs(rows: int, num_bits: int, generator: torch.Generator) -> Tensor:
    """Return [rows, K] of +-1, each row with floor(K/2) entries -1."""
    order = torch.rand(rows, num_bits, generator=generator).argsort(dim=1)
    return torch.where(order < num_bits // 2, -1.0, 1.0)


def nested_centres(num_classes: int, lengths: Sequence[int], *, seed: int = 0, draws: int = 200) -> Tensor:
    """Return centres [C, K] whose every prefix of ``lengths`` keeps its classes apart, K the last length.

    Block after block (the bits a length adds), the best of ``draws`` random blocks is appended: the one whose prefix
    has the largest smallest distance, and among these the largest mean. Centres drawn for each length alone would
    disagree about the bits they share. About m/4 is reached where C is not too large for m; read it off with
    ``centre_report``.

    Raises:
        UsageError: the shortest length cannot give C different codes.
    """
    try:
        centres = make_centres("maxhd", num_classes, lengths[0], seed=seed)
    except UsageError:  # too crowded for a distance: different codes are all there is
        centres = make_centres("bernoulli", num_classes, lengths[0], seed=seed)
    generator = torch.Generator().manual_seed(int(seed))
    for before, length in pairwise(lengths):
        candidates = [random_signs(num_classes, length - before, generator) for _ in range(draws)]
        centres = max((torch.cat([centres, block], dim=1) for block in candidates), key=_smallest_and_mean)
    return centres


def _smallest_and_mean(centres: Tensor) -> tuple[float, float]:
    upper = torch.triu_indices(len(centres), len(centres), offset=1)
    distances = hamming_of_signs(centres, centres)[upper[0], upper[1]]
    return (float(distances.min()), float(distances.mean())) if len(distances) else (math.inf, math.inf)
