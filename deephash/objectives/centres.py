"""Hash centres: one fixed +-1 code a class, as far from one another as possible.

Used as targets by OrthoHash (arXiv 2109.14449), CSQ (CVPR 2020) and DPN (IJCAI 2020). C classes, K bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from deephash.errors import UsageError, did_you_mean
from deephash.objectives.signs import hamming_of_signs
from deephash.objectives.simplex import simplex_targets

CentreKind = Literal["bernoulli", "maxhd", "hadamard", "simplex"]


@dataclass(frozen=True)
class CentreReport:
    """How far apart centres are, in bits.

    Attributes:
        min_distance: smallest Hamming distance of two centres (K when there is one class).
        mean_distance: mean over pairs.
        opposite_pairs: pairs at distance K, whose cosine is -1.
        constant_bits: bits that are equal in all centres and so tell no class from another.
    """

    min_distance: int
    mean_distance: float
    opposite_pairs: int
    constant_bits: int


def make_centres(kind: CentreKind, num_classes: int, num_bits: int, *, seed: int = 0) -> Tensor:
    """Return centres [C, K] of -1.0 and +1.0, all different.

    Args:
        kind: ``bernoulli`` (each bit a fair coin), ``maxhd`` (rejection until far apart), ``hadamard`` (rows of a
            Hadamard matrix, and their negatives where C > K), or ``simplex`` (signs of a rotated simplex).
        num_classes: C.
        num_bits: K.
        seed: the codebook depends on nothing else.

    Raises:
        UsageError: K bits cannot give C different codes, or not by this kind.
    """
    if num_classes < 1:
        raise UsageError(f"num_classes must be at least 1, not {num_classes}")
    if num_bits < math.log2(num_classes):
        raise UsageError(
            f"{num_classes} classes cannot get distinct centres with {num_bits} bits; "
            f"use at least {math.ceil(math.log2(num_classes))}"
        )
    generator = torch.Generator().manual_seed(int(seed))
    if kind == "bernoulli":
        return bernoulli_centres(num_classes, num_bits, generator)
    if kind == "maxhd":
        return max_distance_centres(num_classes, num_bits, generator)
    if kind == "hadamard":
        return hadamard_centres(num_classes, num_bits, generator)
    if kind == "simplex":
        return simplex_targets(num_classes, num_bits, seed)
    raise UsageError(f"unknown kind of centres {kind!r}" + did_you_mean(kind, list(get_args(CentreKind))))


def random_signs(rows: int, num_bits: int, generator: torch.Generator) -> Tensor:
    """Return [rows, K] of -1.0 and +1.0 with equal probability."""
    return torch.randint(0, 2, (rows, num_bits), generator=generator).float() * 2 - 1


def bernoulli_centres(num_classes: int, num_bits: int, generator: torch.Generator) -> Tensor:
    """Draw each bit with probability one half; a code that is there already is drawn again.

    The paper does not check for duplicates; at 16 bits and 100 classes they do occur, and two classes that share a
    centre cannot be told apart.
    """
    if num_classes * 2 > 2**num_bits:  # too crowded for drawing until different: choose among all codes
        chosen = torch.randperm(2**num_bits, generator=generator)[:num_classes]
        return (chosen[:, None] >> torch.arange(num_bits) & 1).float() * 2 - 1
    centres = random_signs(num_classes, num_bits, generator)
    while (repeated := _repeated_rows(centres)).any():
        centres[repeated] = random_signs(int(repeated.sum()), num_bits, generator)
    return centres


def _repeated_rows(centres: Tensor) -> Tensor:
    """Mark every row that equals an earlier one."""
    _, group = torch.unique(centres, dim=0, return_inverse=True)
    first = torch.full((len(centres),), len(centres)).scatter_reduce(0, group, torch.arange(len(centres)), "amin")
    return first[group] != torch.arange(len(centres))


def max_distance_centres(
    num_classes: int, num_bits: int, generator: torch.Generator, *, start: float = 0.61, patience: int = 10_000
) -> Tensor:
    """Accept random codes that keep a distance from all accepted ones (algorithm 3 of OrthoHash's supplement).

    The wanted distance begins at ``start`` (a share of K) and falls by 0.01 after every ``patience`` rejections; an
    acceptance does not reset that count. Below 0.2 the search gives up with UsageError.
    """
    share, rejected = start, 0
    accepted = random_signs(1, num_bits, generator)
    while len(accepted) < num_classes:
        candidates = random_signs(2048, num_bits, generator)
        nearest = hamming_of_signs(candidates, accepted).min(dim=1).values
        far = nearest >= share * num_bits - 1e-6
        first = int(far.float().argmax()) if far.any() else len(candidates)
        accepted = torch.cat([accepted, candidates[first : first + 1]])  # nothing is appended when none was far
        rejected += first
        if rejected >= patience:
            share, rejected = share - 0.01, 0
        if share < 0.2:
            raise UsageError(
                f"no {num_classes} codes of {num_bits} bits were found that differ in a fifth of their bits; "
                "use more bits or bernoulli centres"
            )
    return accepted[torch.randperm(num_classes, generator=generator)]


def hadamard_centres(num_classes: int, num_bits: int, generator: torch.Generator | None = None) -> Tensor:
    """Return rows of the Hadamard matrix H, and of -H where C > K; a generator picks them at random.

    Rows of H are exactly orthogonal, those of -H opposite to one of them. The first column of H is constant, so with
    C <= K bit 0 says nothing. Raises UsageError unless K is a power of two and C <= 2K.
    """
    if num_bits & (num_bits - 1):
        raise UsageError(
            f"Hadamard centres need a power of two as num_bits, not {num_bits}; "
            f"use {2 ** (num_bits.bit_length() - 1)} or {2 ** num_bits.bit_length()}, or bernoulli or maxhd centres"
        )
    if num_classes > 2 * num_bits:
        raise UsageError(
            f"Hadamard centres of {num_bits} bits serve at most {2 * num_bits} classes, not {num_classes}; "
            "use more bits, or bernoulli or maxhd centres"
        )
    matrix = torch.ones(1, 1)
    while len(matrix) < num_bits:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    rows = torch.randperm(num_bits, generator=generator) if generator is not None else torch.arange(num_bits)
    return torch.cat([matrix[rows], -matrix[rows]])[:num_classes].contiguous()


def centre_report(centres: Tensor) -> CentreReport:
    """Measure how far apart ``centres`` [C, K] are."""
    num_classes, num_bits = centres.shape
    upper = torch.triu_indices(num_classes, num_classes, offset=1)
    distances = hamming_of_signs(centres, centres)[upper[0], upper[1]]
    if not len(distances):
        return CentreReport(num_bits, float(num_bits), 0, num_bits)
    return CentreReport(
        min_distance=int(distances.min()),
        mean_distance=float(distances.mean()),
        opposite_pairs=int((distances == num_bits).sum()),
        constant_bits=int((centres == centres[0]).all(dim=0).sum()),
    )
