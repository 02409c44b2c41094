"""Hooks that keep new codes near the stored ones while a model learns the next task: ``train --compatible``.

They need the stored codes of training items, not the model that made them. Items without a stored code, which came with
this task, get the code that the ancestor's weights give before the first step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from deephash.data.codebook import CodeBook, in_numbers_of
from deephash.data.stream_task import StreamTask
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.models.objective import Batch, BatchHook, ObjectiveHashModel
from deephash.models.warm_start import WarmStart
from deephash.objectives.compatible import class_means, hoc_loss, influence_loss, pair_nce


class Compatible(BatchHook, ABC):
    """A term that compares the outputs of a batch with the old codes of the same items.

    Args:
        weight: of the term, beside the method's own.
        new_items: also items that came with this task, whose old codes are those of the ancestor's weights.

    Attributes:
        old: modality -> +-1 codes [N, K] of the training items, 0 where none is known; "" where there is one modality.
    """

    def __init__(self, weight: float = 1.0, new_items: bool = True) -> None:
        if weight < 0:
            raise UsageError(f"the weight of a loss is 0 or more, not {weight}")
        self.weight, self.new_items = weight, new_items
        self.old: dict[str, Tensor] = {}

    @abstractmethod
    def term(self, half: str, outputs: Tensor, old: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar of outputs [n, K], old codes [n, K] and labels of n rows; ``half`` is their modality."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the old codes; a resumed run has them."""
        data, model = trainer.datamodule, pl_module  # type: ignore[attr-defined]
        if self.old or not isinstance(model, ObjectiveHashModel):
            self.old = {half: codes.to(pl_module.device) for half, codes in self.old.items()}
            return
        if not isinstance(data, StreamTask) or data.book is None or not len(data.book):
            raise UsageError(
                f"{type(self).__name__} keeps codes that an earlier run stored, and there are none: "
                "deephash train --continue-from RUN, where RUN learned an earlier task of the stream"
            )
        as_ancestor = any(isinstance(each, WarmStart) for each in trainer.callbacks)  # type: ignore[attr-defined]
        for half in _halves(model):
            codes = _old_codes(data, model if as_ancestor and self.new_items else None, half)
            self.old[half] = codes.to(pl_module.device)
        if not any(bool(codes.any()) for codes in self.old.values()):
            raise UsageError(
                f"no training item has a stored code that {type(self).__name__} could keep: learn some of the earlier "
                "ones again, --replay 500, or compare new items with the ancestor, --compatible.new_items=true"
            )
        self.look_at(data.book, data)

    def look_at(self, book: CodeBook, data: StreamTask) -> None:
        """See all that is stored, once."""

    def extra_losses(self, model: ObjectiveHashModel, batch: Batch) -> dict[str, Tensor]:
        """Return the term of each modality that the batch holds."""
        if "labels" not in batch:
            raise UsageError(f"{type(self).__name__} tells classes by labels, and this data has none; label the items")
        terms = {}
        for half in self.old:
            inputs = {name: batch[name] for name in _names(half, model) if name in batch}
            old = self.old[half][batch["index"]]
            known = old.abs().sum(dim=1) > 0
            if f"has_{half}" in batch:
                known &= batch[f"has_{half}"].bool()
            if not inputs or int(known.sum()) < 2:
                continue
            with torch.autocast(model.device.type, enabled=False):
                outputs = model(inputs).flatten(1).float()
                term = self.term(half, outputs[known], old[known].float(), batch["labels"][known])
            name = type(self).__name__.lower()
            terms[f"{name}_{half}" if half else name] = self.weight * term
        return terms

    def state_dict(self) -> dict[str, Any]:
        """Return the old codes."""
        return {"old": self.old}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self.old = state_dict["old"]


class HOC(Compatible):
    """Higher-order compatibility (d-Simplex-HOC, CVPR 2024) on hash codes.

    The paper weighs its own classification by lambda = .1 and this by .9; the method's own loss keeps its weight here,
    so that ``weight`` 9 is the paper's. It compares the new task's items with the old model's outputs too
    (``new_items``). Both hold codes where they were and leave little room for new classes; the defaults learned both
    (docs/results/lifelong.md).

    Args:
        weight: see :class:`Compatible`.
        mu: see :func:`~deephash.objectives.compatible.hoc_loss`.
        new_items: see :class:`Compatible`.
    """

    def __init__(self, weight: float = 1.0, mu: float = 10.0, new_items: bool = False) -> None:
        super().__init__(weight, new_items)
        if mu <= 0:
            raise UsageError(f"mu is an inverse temperature, above 0, not {mu}")
        self.mu = mu

    def term(self, half: str, outputs: Tensor, old: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of tanh outputs."""
        return hoc_loss(torch.tanh(outputs), old, labels, mu=self.mu)


class BCT(Compatible):
    """Backward-compatible training (Shen et al., CVPR 2020): the old classifier, frozen, judges the new codes.

    A class's old direction is the mean of its old codes, which is also how the paper makes the directions of classes
    that the old classifier did not know.

    Args:
        weight: see :class:`Compatible`.
        scale: see :func:`~deephash.objectives.compatible.influence_loss`.
        new_items: see :class:`Compatible`.
    """

    def __init__(self, weight: float = 1.0, scale: float = 8.0, new_items: bool = True) -> None:
        super().__init__(weight, new_items)
        self.scale = scale
        self.prototypes: dict[str, Tensor] = {}

    def look_at(self, book: CodeBook, data: StreamTask) -> None:
        """Take the mean of each class over all that is stored and all that is learned."""
        train = data.splits["train"]
        if train.labels is None or book.side.labels is None:
            return  # refused at the first batch
        stored = torch.from_numpy(_labels_of(book, data))
        learned = torch.from_numpy(np.asarray(train.labels))
        for half, old in self.old.items():
            rows = np.ones(len(book), bool) if book.modalities is None else book.modalities == half
            fresh = (old.abs().sum(dim=1) > 0).cpu() & torch.from_numpy(book.rows(train.names, half or None) < 0)
            codes = torch.cat([torch.from_numpy(book.codes.signs()[rows]).float(), old.cpu()[fresh].float()])
            labels = torch.cat([stored[torch.from_numpy(rows)], learned[fresh]])
            self.prototypes[half] = class_means(codes, labels, data.num_classes).to(old.device)

    def term(self, half: str, outputs: Tensor, old: Tensor, labels: Tensor) -> Tensor:
        """Return the influence loss."""
        return influence_loss(torch.tanh(outputs), self.prototypes[half].to(outputs), labels, scale=self.scale)

    def state_dict(self) -> dict[str, Any]:
        """Return old codes and prototypes."""
        return {**super().state_dict(), "prototypes": self.prototypes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        super().load_state_dict(state_dict)
        self.prototypes = state_dict["prototypes"]


class BEBRCompatible(Compatible):
    """BEBR's compatible training (arXiv 2302.08714) of codes of one bit: L_NCE(new, new) + lambda L_NCE(new, old).

    Args:
        weight: see :class:`Compatible`.
        old_weight: lambda; the paper does not say it.
        temperature: see :func:`~deephash.objectives.compatible.pair_nce`.
        hardest: there.
        new_items: see :class:`Compatible`.
    """

    def __init__(
        self,
        weight: float = 1.0,
        old_weight: float = 1.0,
        temperature: float = 0.05,
        hardest: int = 5,
        new_items: bool = True,
    ) -> None:
        super().__init__(weight, new_items)
        if temperature <= 0 or hardest < 0:
            raise UsageError(f"temperature is above 0 and hardest 0 or more, not {temperature} and {hardest}")
        self.old_weight, self.temperature, self.hardest = old_weight, temperature, hardest

    def term(self, half: str, outputs: Tensor, old: Tensor, labels: Tensor) -> Tensor:
        """Return both parts."""
        how: dict[str, Any] = {"temperature": self.temperature, "hardest": self.hardest}
        among = pair_nce(outputs, outputs, labels, own=False, **how)
        return among + self.old_weight * pair_nce(outputs, old, labels, own=True, **how)


# Parts -------------------------------------------------------------------------------------------------


def _halves(model: ObjectiveHashModel) -> list[str]:
    return [""] if len(model.encoders) == 1 else list(model.encoders)


def _names(half: str, model: ObjectiveHashModel) -> list[str]:
    return [entry for name in ([half] if half else model.encoders) for entry in (name, f"{name}_features")]


def _old_codes(data: StreamTask, ancestor: ObjectiveHashModel | None, half: str) -> Tensor:
    """Return +-1 codes [N, K] of the training items: stored ones, else those of the ancestor, else 0."""
    assert data.book is not None
    names = data.splits["train"].names
    rows = data.book.rows(names, half or None)
    found = np.where(rows[:, None] >= 0, data.book.codes.signs()[rows], np.int8(0))
    if ancestor is not None:
        made = data.codes(ancestor, "train", modality=half or None).signs()
        found = np.where(rows[:, None] >= 0, found, made)
    return torch.from_numpy(found)


def _labels_of(book: CodeBook, data: StreamTask) -> Any:
    """Return the labels of what is stored, in the class numbers of the data."""
    known = CodeFile(book.codes[:0], class_names=tuple(data.class_names))
    return np.asarray(in_numbers_of(known, book.side))
