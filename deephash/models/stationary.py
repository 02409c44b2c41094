"""Stationary: what methods with fixed class targets share, so that a later model is pulled to the same codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from deephash.codes import BinaryCodes
from deephash.encoding.targets import TargetTable
from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.objectives.class_targets import require_apart


class Stationary(HashModel):
    """A method whose buffer of targets [C + reserve, K] has the row of class c in place c.

    Attributes:
        targets_in: name of that buffer.
        num_classes: C.
        target_classes: names of the C classes; numbers, where nobody said.
        held_targets: the table of another model that this one keeps, whatever weights it begins with.
    """

    targets_in: ClassVar[str] = "targets"
    num_classes: int
    target_classes: tuple[str, ...] = ()
    held_targets: TargetTable | None = None

    def target_table(self) -> TargetTable:
        """Return the targets with the classes' names."""
        rows = self._targets()
        names = self.target_classes or tuple(map(str, range(self.num_classes)))
        blank = ("",) * (len(rows) - len(names))
        return TargetTable(BinaryCodes.from_signs(rows.cpu().numpy()), (*names, *blank))

    def take_targets(self, table: TargetTable, classes: Sequence[str]) -> None:
        """Be pulled to the targets of another model: each class to its own row there, new ones to free or added rows.

        Args:
            table: of the other model.
            classes: names of this model's C classes, by number.

        Raises:
            UsageError: a table of another size, no room for a class, or rows that are too near each other.
        """
        known = table.with_classes(classes)
        rows, codes = self._targets(), known.codes
        if codes.num_bits != self.num_bits:
            raise UsageError(f"the targets have {codes.num_bits} bits, and this model {self.num_bits}; use --bits")
        order = known.rows_of(classes)
        if len(codes) != len(rows):
            raise UsageError(
                f"the table has {len(codes)} targets, and this model {len(rows)}; "
                f"use --model.init_args.reserve={len(codes) - len(order)}"
            )
        others = [row for row in range(len(codes)) if row not in set(order)]
        signs = torch.from_numpy(codes.signs()[[*order, *others]]).to(rows)
        if others:
            require_apart(signs.cpu())
        rows.copy_(signs)
        self.target_classes, self.held_targets = tuple(classes), table

    def _targets(self) -> Tensor:
        rows: Tensor = getattr(self, self.targets_in)
        return rows
