"""LifelongPhase: what DLCH's second phase needs of a run that goes on from another: seen codes, Omega, the descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.codes import BinaryCodes
from deephash.data.codebook import CodeBook, in_numbers_of
from deephash.data.datamodule import HashDataModule
from deephash.data.table import Split
from deephash.errors import UsageError
from deephash.models.base import HashModel, Inputs
from deephash.objectives.lifelong_codes import LifelongCodes, LifelongWeights
from deephash.objectives.lifelong_pairs import begin_together, solve_together


@dataclass(frozen=True)
class SeenCodes:
    """Codes of everything seen before this run, for one modality's network to stay near.

    An item that was stored without this half stands with the code of its other one, as where texts arrive after
    pictures: both are asked for in one space [R].

    Attributes:
        codes: [n, K] in +-1.
        labels: of these items, class numbers [n] or multi-hot [n, C].
        place: int64 [m], which of them each item of the training split is; -1 for new ones.
    """

    codes: Tensor
    labels: Tensor
    place: Tensor

    @classmethod
    def of(cls, data: Any, modalities: Sequence[str]) -> dict[str, SeenCodes]:
        """Return what the code book of a stream's data holds of the tasks before, by modality; nothing at the first.

        Args:
            data: a :class:`~deephash.data.StreamTask` that is set up, or any other data, which has no code book.
            modalities: those of the model.
        """
        whole: CodeBook | None = getattr(data, "book", None)
        if whole is None:
            return {}
        book = whole.before(data.task)
        if book.side.labels is None and len(book):
            raise UsageError(f"{book.side.source} holds no labels, so nothing tells which of its codes are similar")
        numbers = tuple(data.class_names)  # a stream that was extended has more of them than the book
        return {name: cls._of_half(book, name, data.splits["train"], numbers) for name in modalities if len(book)}

    @classmethod
    def _of_half(cls, book: CodeBook, modality: str, train: Split, class_names: tuple[str, ...]) -> SeenCodes:
        names = list(dict.fromkeys([] if book.side.names is None else book.side.names.tolist()))
        rows = book.rows(names, modality)
        for other in () if book.modalities is None else np.unique(book.modalities):
            rows = np.where(rows < 0, book.rows(names, str(other)), rows)
        chosen = book.take(rows)
        labels = in_numbers_of(replace(chosen.side, class_names=class_names), chosen.side)
        number = {name: place for place, name in enumerate(names)}
        return cls(
            torch.from_numpy(chosen.codes.signs().astype(np.float32)),
            as_labels(labels),
            torch.tensor([number.get(name, -1) for name in train.names], dtype=torch.long),
        )


class LifelongPhase:
    """One :class:`~deephash.objectives.lifelong_codes.LifelongCodes` a modality, and the passes over Omega.

    Omega is the training split of the run: new items, and replayed ones.

    Args:
        seen: modality -> :class:`SeenCodes`.
        columns: of the training split: ``labels`` [m] or [m, C], and ``has_<modality>`` where halves are missing.
        weights: see :class:`~deephash.objectives.lifelong_codes.LifelongWeights`.
        seed: of first codes, where they are drawn.
    """

    def __init__(
        self,
        seen: Mapping[str, SeenCodes],
        columns: Mapping[str, Tensor],
        weights: LifelongWeights | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.tables = {
            name: LifelongCodes(own.codes, own.labels, _labels_of(columns, name), own.place, weights, seed=seed)
            for name, own in seen.items()
        }

    def begin(self, model: HashModel, data: HashDataModule) -> None:
        """Encode Omega, so that new codes begin at the network's own; a resumed run goes on where it stood."""
        self.to(model.device)
        fresh = {name: table for name, table in self.tables.items() if not table.has_begun}
        for name, table in fresh.items():
            table.begin(outputs_of(model, data, name))
        if fresh and self._is_shared:
            begin_together(list(self.tables.values()))

    def losses(self, modality: str, outputs: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms of outputs [B, K] of a batch, and remember them; rows without label or half are left out.

        Args:
            modality: whose network.
            outputs: of all processes' rows, where there are several.
            batch: their ``index`` [B].
        """
        table = self.tables[modality]
        rows = table.labelled[batch["index"]]
        outputs, index = outputs[rows], batch["index"][rows]
        table.remember(outputs, index)
        return table.losses(outputs, index) if len(index) else {"unlabelled_batch": outputs.sum()}

    def solve(self, modality: str) -> None:
        """Solve the codes of the new items after a pass: of one modality, or one code a pair."""
        if self._is_shared:
            solve_together(list(self.tables.values()))
        else:
            self.tables[modality].solve()

    @property
    def _is_shared(self) -> bool:
        weights = [table.weights for table in self.tables.values()]
        return len(weights) > 1 and all(each.shared and each.preset == "corrected" for each in weights)

    def learned_codes(self) -> BinaryCodes:
        """Return the codes of all items of Omega, one modality behind the other, [M m]."""
        return BinaryCodes.concatenate(
            [BinaryCodes.from_signs(table.codes_of_all().cpu().numpy()) for table in self.tables.values()]
        )

    def to(self, device: torch.device) -> None:
        """Bring everything to a device."""
        for table in self.tables.values():
            table.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must remember."""
        return {name: table.state_dict() for name, table in self.tables.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""
        for name, table in self.tables.items():
            table.load_state_dict(state[name])


def outputs_of(model: HashModel, data: HashDataModule, modality: str) -> Tensor:
    """Return a model's continuous codes [m, K] of one modality of all training items, in their order."""
    training = model.training
    model.eval()
    with torch.no_grad():
        parts = [
            model(one_modality(batch, modality, model.device)).flatten(1).float() for batch in data.batches("train")
        ]
    model.train(training)
    return torch.cat(parts)


def one_modality(batch: Mapping[str, Tensor], modality: str, device: torch.device) -> Inputs:
    """Return those entries of a batch that ``forward`` reads of one modality, on a device."""
    return {key: batch[key].to(device) for key in (modality, f"{modality}_features") if key in batch}


def as_labels(labels: NDArray[Any] | None) -> Tensor:
    """Return labels as batches hold them: class numbers int64 [n], or multi-hot float [n, C]."""
    table = torch.from_numpy(np.ascontiguousarray(labels))
    return table.float() if table.ndim == 2 else table.long()


def _labels_of(columns: Mapping[str, Tensor], modality: str) -> Tensor:
    """Return the labels [m] of the training split; none for items that lack the modality."""
    labels, present = columns["labels"].clone(), columns.get(f"has_{modality}")
    if present is not None:
        labels[~present.bool()] = -1 if labels.ndim == 1 else 0
    return labels
