"""What is trained by gradients: the model's terms of a loss, and what others do to a batch before them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning import Callback, Trainer
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.models.optimizers import COMMON, Optimizer, build_optimizer
from deephash.objectives.memory import RowMemory

Batch = Mapping[str, Tensor]


class ObjectiveHashModel(HashModel):
    """A hash model trained by gradients.

    Args:
        num_bits: K.
        backbones: see :class:`HashModel`.
        optimizer: lies over ``default_optimizer``; None takes that.

    Attributes:
        memory: of the rows seen in training, where a method has one; it travels in checkpoints, not in saved models.
    """

    training_only: ClassVar[tuple[str, ...]] = ("optimizer",)
    memory: RowMemory | None = None
    default_optimizer: ClassVar[Optimizer] = COMMON  # what a method's paper or release says; lies over COMMON

    def __init__(self, num_bits: int, backbones: Mapping[str, Backbone], optimizer: Optimizer | None = None) -> None:
        super().__init__(num_bits, backbones)
        self.optimizer = (optimizer or Optimizer()).over(self.default_optimizer).over(COMMON)

    @abstractmethod
    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms; they are summed, and each is logged as ``train/<name>``.

        ``batch`` holds the inputs, ``labels`` (class numbers [B] or multi-hot [B, C]) where there are any, and
        ``index`` (row numbers in the training split [B]).
        """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Sum the terms of the method and of every :class:`BatchHook`; log them where the Trainer writes a log."""
        losses = self._losses_with(batch_hooks(self.trainer), batch)
        total = torch.stack([term.float() for term in losses.values()]).sum()
        if self._is_logged():
            size = len(batch["index"])
            self.log_dict({f"train/{name}": term for name, term in losses.items()}, batch_size=size)
            self.log("train/loss", total, prog_bar=True, batch_size=size)
        return total

    def _losses_with(self, hooks: list[BatchHook], batch: Batch) -> dict[str, Tensor]:
        for hook in hooks:
            batch = hook.prepare(self, batch)
        losses = self.compute_losses(batch)
        for hook in hooks:
            more = hook.extra_losses(self, batch)
            if twice := sorted(losses.keys() & more):
                raise UsageError(f"{type(hook).__name__} adds the term {twice[0]!r}, which is there already; rename it")
            losses |= more
        return losses

    def _is_logged(self) -> bool:
        """Say whether somebody will read this step's terms: logging each would cost as much as a small head's step."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0)

    def configure_optimizers(self) -> Any:
        """Build the optimiser with a slower group for the backbone, and the step schedule if there is one."""
        return build_optimizer(self.optimizer, self, self.encoders)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the memory too, so that resuming continues as if never stopped."""
        super().on_save_checkpoint(checkpoint)
        if self.memory is not None:
            checkpoint["row_memory"] = self.memory.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring the memory back; checkpoints of deephash 0.1 hold none that fits, and it fills again in an epoch."""
        super().on_load_checkpoint(checkpoint)
        if self.memory is not None and "row_memory" in checkpoint:
            self.memory.load_state_dict(checkpoint["row_memory"])


class BatchHook(Callback):
    """Something that changes a training batch before the losses, or adds to them: a defence, a teacher, a replay.

    One of ``trainer.callbacks``, so that a configuration names it, a resumed run has it again, and ``state_dict`` and
    ``load_state_dict`` (plain values and tensors) travel in the checkpoint. It is no part of the model: not of what is
    saved, nor of the fingerprint. A subclass overrides what it needs.

    Attributes:
        needs_pixels: training batches hold ``image`` [B, 3, H, W], prepared by the picture encoder, even where the
            backbone is frozen and its features are cached; validation goes on using the cache.
        chooses_by_score: the epoch with the best validation figure is the run's model; False keeps the last one, as
            where clean figures fall while the model learns what they do not show.
    """

    needs_pixels: bool = False
    chooses_by_score: bool = True

    def prepare(self, model: ObjectiveHashModel, batch: Batch) -> Batch:
        """Return the batch that the losses see, on the model's device; further entries are for :meth:`extra_losses`.

        The model is in training mode: what must not move batch norm's means goes through ``model.eval()`` first.
        """
        return batch

    def extra_losses(self, model: ObjectiveHashModel, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms that join the method's own; ``batch`` is what :meth:`prepare` returned."""
        return {}


def batch_hooks(trainer: Trainer) -> list[BatchHook]:
    """Return the hooks among a Trainer's callbacks, in the order given."""
    return [each for each in trainer.callbacks if isinstance(each, BatchHook)]  # type: ignore[attr-defined]
