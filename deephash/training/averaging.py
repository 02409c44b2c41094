"""WeightAverage: an exponential moving average of the weights, which is what is scored and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from deephash.errors import UsageError

WARMING = 10  # steps after which the average looks back for as long as its decay says, divided by 1 - decay


class WeightAverage(Callback):
    """Averages weights and statistics over the steps: w' <- d w' + (1 - d) w after each step of the optimiser.

    Early steps take d = min(decay, (1 + t) / (10 + t)), so that an average of short runs does not remember the random
    start. Validation, ``last/`` and ``model/`` use the average; training goes on with the weights themselves, and both
    are in ``last.ckpt``. Lightning's own callback averages for its validation loop only, which is not used here.

    Args:
        decay: d, between 0 and 1; 0.999 looks back a thousand steps.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise UsageError(f"the decay of averaged weights lies between 0 and 1, such as 0.999, not {decay}")
        self.decay, self.steps = decay, 0
        self._average: dict[str, Tensor] = {}
        self._seen = -1  # global step of the last update: accumulated batches are no steps

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights of the model, or go on with the average of the interrupted run."""
        now = _learned(pl_module)
        if self._average.keys() != now.keys():
            self._average = {name: tensor.clone() for name, tensor in now.items()}
        self._average = {name: self._average[name].to(tensor.device) for name, tensor in now.items()}
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the weights, where the optimiser made a step."""
        if trainer.global_step == self._seen:
            return
        self._seen, share = trainer.global_step, 1 - min(self.decay, (1 + self.steps) / (WARMING + self.steps))
        self.steps += 1
        for name, tensor in _learned(pl_module).items():
            kept = self._average[name]
            if kept.is_floating_point():
                kept.lerp_(tensor.to(kept.dtype), share)
            else:
                kept.copy_(tensor)

    @contextmanager
    def applied(self, model: LightningModule) -> Iterator[None]:
        """Give the model its averaged weights meanwhile."""
        now = _learned(model)
        own = {name: tensor.clone() for name, tensor in now.items()}
        _fill(now, self._average)
        try:
            yield
        finally:
            _fill(_learned(model), own)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the model with its averaged weights: training is over."""
        _fill(_learned(pl_module), self._average)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, for a resumed run."""
        return {"average": dict(self._average), "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the average of the interrupted run."""
        self._average, self.steps = dict(state_dict["average"]), int(state_dict["steps"])


@contextmanager
def averaged_weights(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Give a model meanwhile the weights that count: averaged ones, where the run has a :class:`WeightAverage`."""
    averages = [each for each in trainer.callbacks if isinstance(each, WeightAverage)]  # type: ignore[attr-defined]
    if not averages:
        yield
        return
    with averages[0].applied(model):
        yield


def _learned(model: LightningModule) -> dict[str, Tensor]:
    """Return what changes while a model learns: parameters that have gradients, and all buffers."""
    parameters = {name: each.detach() for name, each in model.named_parameters() if each.requires_grad}
    return parameters | dict(model.named_buffers())


@torch.no_grad()
def _fill(into: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, tensor in into.items():
        tensor.copy_(source[name])
