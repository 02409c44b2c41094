"""RowMemory: what a model last said of every training row, for losses that compare a batch with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class RowMemory:
    """Named columns of values, one row for every training row written so far, by row number; grown as needed.

    No gradient flows into it. It is part of a checkpoint (:meth:`state_dict`), not of a saved model.
    """

    def __init__(self) -> None:
        self._seen = torch.zeros(0, dtype=torch.bool)
        self._columns: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return int(self._seen.sum())

    def write(self, index: Tensor, **values: Tensor) -> None:
        """Store ``values`` [b, ...], always of the same names, at the row numbers ``index`` [b]."""
        size = int(index.max()) + 1
        self._seen = _grown(self._seen.to(index.device), size)
        self._seen[index] = True
        for name, rows in values.items():
            held = self._columns.get(name, rows.new_zeros(0, *rows.shape[1:]))
            self._columns[name] = _grown(held.to(rows), size)
            self._columns[name][index] = rows.detach()

    def read(self, name: str, index: Tensor) -> Tensor:
        """Return rows [b, ...] of a column; zeros where a row was not written yet."""
        return self._column(name)[index]

    def knows(self, index: Tensor) -> Tensor:
        """Return which of ``index`` [b] were written, bool [b]."""
        known = torch.zeros(len(index), dtype=torch.bool, device=index.device)
        inside = index < len(self._seen)
        known[inside] = self._seen.to(index.device)[index[inside]]
        return known

    def numbers(self) -> Tensor:
        """Return the row numbers written so far, int64 [n], ascending: the order of :meth:`everything`."""
        return self._seen.nonzero()[:, 0]

    def everything(self, name: str) -> Tensor:
        """Return the rows of a column written so far, [n, ...], in the order of their numbers."""
        return self._column(name)[self._seen]

    def to(self, device: torch.device) -> None:
        """Bring all columns to a device, as after a checkpoint was read."""
        self._seen = self._seen.to(device)
        self._columns = {name: column.to(device) for name, column in self._columns.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must remember, as plain values."""
        return {"seen": self._seen, "columns": dict(self._columns)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""
        self._seen, self._columns = state["seen"], dict(state["columns"])

    def _column(self, name: str) -> Tensor:
        if name not in self._columns:
            raise RuntimeError(f"nothing was remembered of {name!r} yet, only of {sorted(self._columns)}")
        return self._columns[name]


def _grown(table: Tensor, size: int) -> Tensor:
    missing = size - len(table)
    return table if missing <= 0 else torch.cat([table, table.new_zeros(missing, *table.shape[1:])])
