"""Targets of C classes with rows reserved for more: drawn once, and kept for good (stationary targets)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.objectives.balanced_centres import nested_centres
from deephash.objectives.centres import CentreKind, centre_report, make_centres, random_signs
from deephash.objectives.signs import hamming_of_signs

PATIENCE = 2000  # draws for one row before the table is given up
Recipe = Callable[[int, int, int], Tensor]
"""(rows, K, seed) -> [rows, K] of +-1."""


def class_targets(
    kind: CentreKind,
    num_classes: int,
    lengths: Sequence[int],
    *,
    seed: int = 0,
    reserve: int = 0,
    recipe: Recipe | None = None,
) -> Tensor:
    """Return targets [C + reserve, K] of -1.0 and +1.0; class c has row c, and the rows behind are reserved.

    Args:
        kind: see :func:`make_centres`; several ``lengths`` take nested ones instead.
        num_classes: C.
        lengths: prefixes that are codes too, K last.
        seed: the table depends on nothing else.
        reserve: rows for classes to come. Then any two rows differ in a quarter of the bits or more.
        recipe: instead of ``kind``.

    Raises:
        UsageError: such a table was not found, or the kind does not give so many rows.
    """
    if reserve < 0:
        raise UsageError(f"reserve is how many classes may still come, 0 or more, not {reserve}")
    rows, num_bits = num_classes + reserve, lengths[-1]
    if len(lengths) > 1:
        table = nested_centres(rows, lengths, seed=seed)
    elif recipe is not None:
        table = recipe(rows, num_bits, seed)
    elif reserve and kind == "bernoulli":
        table = spaced_signs(rows, num_bits, seed=seed)
    else:
        table = make_centres(kind, rows, num_bits, seed=seed)
    if reserve:
        require_apart(table)
    return table


def require_apart(targets: Tensor) -> Tensor:
    """Return ``targets`` [R, K]. Raises UsageError where two rows differ in fewer than K/4 bits."""
    report, num_bits = centre_report(targets), targets.shape[1]
    if 4 * report.min_distance < num_bits:
        raise UsageError(
            f"two of {len(targets)} targets differ in {report.min_distance} of {num_bits} bits; stationary targets "
            f"need {-(-num_bits // 4)}: use more bits, fewer reserved rows (--reserve), or another kind of targets "
            "(signs of simplex coordinates need a rotation, which targets 'simplex' makes)"
        )
    return targets


def spaced_signs(rows: int, num_bits: int, *, seed: int = 0) -> Tensor:
    """Return [rows, K] of fair coins; a row that is nearer than K/4 to an earlier one is drawn again.

    Raises:
        UsageError: no further row was found.
    """
    generator = torch.Generator().manual_seed(int(seed))
    accepted = random_signs(1, num_bits, generator)
    while len(accepted) < rows:
        drawn = random_signs(PATIENCE, num_bits, generator)
        far = 4 * hamming_of_signs(drawn, accepted).min(dim=1).values >= num_bits
        if not far.any():
            raise UsageError(
                f"no more than {len(accepted)} random targets of {num_bits} bits that differ in a quarter of the bits "
                f"were found, and {rows} are wanted; use more bits or reserve fewer rows (--reserve)"
            )
        accepted = torch.cat([accepted, drawn[far][:1]])
    return accepted
