"""One code for both halves of a new pair, solved beside both networks [R]; the release solves them apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deephash.objectives.dlch import label_similarity
from deephash.objectives.lifelong_codes import LifelongCodes
from deephash.objectives.new_codes import solve_new_codes
from deephash.objectives.signs import sign


def begin_together(tables: Sequence[LifelongCodes]) -> None:
    """Let new items begin at the sign of the sum of their halves' outputs: agreed bits, and of others the surer."""
    rows = _new_rows(tables)
    if len(rows):
        _spread(tables, rows, sign(_sum_of_halves(tables, rows, [table.outputs for table in tables])))


def solve_together(tables: Sequence[LifelongCodes]) -> None:
    """Sweep once over min_V sum_m |K S - U_m V'|^2 + alpha sum_m |V - U_m|^2, the second over the halves there are.

    Args:
        tables: one a modality, whose rows of Omega are the same items. An item that lacks a half is coded beside both
            networks too, and drawn to the output of the half that it has.
    """
    rows = _new_rows(tables)
    if not len(rows):
        return
    weights = tables[0].weights
    outputs = [torch.tanh(table.outputs) for table in tables]
    labels = _labels(tables, rows)
    known = [table.labelled.nonzero()[:, 0] for table in tables]
    similar = [label_similarity(table.labels[own], labels) for table, own in zip(tables, known, strict=True)]
    found = solve_new_codes(
        torch.cat([each[own] for each, own in zip(outputs, known, strict=True)]),
        torch.cat(similar),
        _gathered(tables, rows),
        own=_sum_of_halves(tables, rows, outputs),  # the sum pulls as its terms do
        alpha=weights.alpha,
        sweeps=weights.sweeps,
    )
    _spread(tables, rows, found.codes)
    for table in tables:
        table.objectives.append(found.objectives[-1])


def _new_rows(tables: Sequence[LifelongCodes]) -> Tensor:
    """Return which rows of Omega are new in any modality."""
    rows: Tensor = torch.cat([table.new_rows for table in tables]).unique()
    return rows


def _labels(tables: Sequence[LifelongCodes], rows: Tensor) -> Tensor:
    """Return the labels of items, from the table that has the half."""
    labels = tables[0].labels[rows].clone()
    for table in tables[1:]:
        there = table.labelled[rows]
        labels[there] = table.labels[rows][there]
    return labels


def _sum_of_halves(tables: Sequence[LifelongCodes], rows: Tensor, values: Sequence[Tensor]) -> Tensor:
    """Return the sum [r, K] of ``values`` [m, K] of each modality over the halves that an item has."""
    parts = [each[rows] * table.labelled[rows][:, None] for table, each in zip(tables, values, strict=True)]
    return torch.stack(parts).sum(dim=0)


def _gathered(tables: Sequence[LifelongCodes], rows: Tensor) -> Tensor:
    codes = tables[0].codes.new_zeros(len(rows), tables[0].num_bits)
    for table in tables:
        codes[torch.isin(rows, table.new_rows)] = table.codes
    return codes


def _spread(tables: Sequence[LifelongCodes], rows: Tensor, codes: Tensor) -> None:
    for table in tables:
        table.codes = codes[torch.isin(rows, table.new_rows)].clone()
