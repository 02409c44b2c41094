"""Targets of C classes with rows reserved for more: drawn once, and kept for good (stationary targets)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.objectives.balanced_centres import nested_centres
from deephash.objectives.centres import CentreKind, centre_report, make_centres, random_signs
from deephash.objectives.signs import hamming_of_signs

BLOCK, PATIENCE = 256, 8  # rows drawn at once; draws without any success before the table is given up
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
    """Return [rows, K] of fair coins; a row that is nearer than K/4 to an earlier one is left out.

    Raises:
        UsageError: no further row was found.
    """
    generator = torch.Generator().manual_seed(int(seed))
    table, found, failures = torch.zeros(rows, num_bits), 0, 0
    while found < rows:
        drawn = random_signs(BLOCK, num_bits, generator)
        far = 4 * hamming_of_signs(drawn, table[:found]) >= num_bits
        kept = _apart(drawn[far.all(dim=1)])[: rows - found]
        table[found : found + len(kept)] = kept
        found, failures = found + len(kept), 0 if len(kept) else failures + 1
        if failures == PATIENCE:
            raise UsageError(
                f"no more than {found} random targets of {num_bits} bits that differ in a quarter of the bits were "
                f"found, and {rows} are wanted; use more bits or reserve fewer rows (--reserve)"
            )
    return table


def _apart(rows: Tensor) -> Tensor:
    """Return those rows that keep K/4 bits from every one that is returned before them."""
    near = (4 * hamming_of_signs(rows, rows) < rows.shape[1]).numpy()
    chosen: list[int] = []
    for row in range(len(rows)):
        if not near[row, chosen].any():
            chosen.append(row)
    return rows[chosen]
