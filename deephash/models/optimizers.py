"""From the description of an optimiser to the optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import MultiStepLR

from deephash.errors import UsageError, did_you_mean
from deephash.models.base import ObjectiveHashModel, Optimizer


def build_optimizer(model: ObjectiveHashModel) -> Any:
    """Return the optimiser of ``model.optimizer``, with its step schedule where there are milestones.

    The backbone forms a slower group of its own; frozen weights are in no group. The result is what Lightning's
    ``configure_optimizers`` returns. Raises UsageError where nothing can be trained.
    """
    plan = model.optimizer
    in_backbone = {id(parameter) for parameter in model.encoders.parameters()}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    new = [parameter for parameter in learning if id(parameter) not in in_backbone]
    slow = [parameter for parameter in learning if id(parameter) in in_backbone]
    if not learning:
        raise UsageError(f"{type(model).__name__} has no weights that learn")
    groups = [{"params": new, "lr": plan.learning_rate, "name": "new"}] if new else []
    if slow:
        groups.append({"params": slow, "lr": plan.learning_rate * plan.backbone_factor, "name": "backbone"})
    optimizer = _construct(plan, groups)
    if not plan.milestones:
        return optimizer
    schedule = MultiStepLR(optimizer, list(plan.milestones), plan.gamma)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": plan.interval}}


def _construct(plan: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    common: dict[str, Any] = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay}
    if plan.name == "adam":
        return torch.optim.Adam(groups, **common)
    if plan.name == "adamw":
        return torch.optim.AdamW(groups, **common)
    if plan.name == "sgd":
        return torch.optim.SGD(groups, momentum=plan.momentum, nesterov=plan.nesterov, **common)
    if plan.name == "rmsprop":
        return torch.optim.RMSprop(groups, momentum=plan.momentum, **common)
    raise UsageError(f"unknown optimiser {plan.name!r}" + did_you_mean(plan.name, ["adam", "adamw", "sgd", "rmsprop"]))
