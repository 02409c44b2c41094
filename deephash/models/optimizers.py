"""How a model is optimised: the description, and the optimiser made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

from deephash.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Optimizer:
    """How a model is optimised; what is left out is the method's own choice.

    Attributes:
        name: adam, adamw, sgd (with momentum) or rmsprop.
        learning_rate: of the hash layer and everything new.
        backbone_factor: the backbone's learning rate is this times ``learning_rate``.
        weight_decay: L2 penalty (coupled for adam, as in the papers).
        momentum: for sgd and rmsprop.
        nesterov: for sgd.
        milestones: epochs (or steps) after which the rate is multiplied by ``gamma``; empty for a constant rate.
        gamma: see ``milestones``.
        interval: what milestones count.
    """

    name: Literal["adam", "adamw", "sgd", "rmsprop"] | None = None
    learning_rate: float | None = None
    backbone_factor: float | None = None
    weight_decay: float | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    milestones: tuple[int, ...] | None = None
    gamma: float | None = None
    interval: Literal["epoch", "step"] | None = None

    def over(self, default: Optimizer) -> Optimizer:
        """Return ``default`` with whatever is said here laid over it."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(default, **{name: value for name, value in said.items() if value is not None})


# The common AlexNet setting of hashing papers, below every method's own.
COMMON = Optimizer("adam", 1e-4, 0.1, 5e-4, 0.9, False, (), 0.1, "epoch")
# What DeepHash-pytorch sets for every pairwise method, on networks that go on learning.
RMSPROP = Optimizer("rmsprop", learning_rate=1e-5, backbone_factor=1.0, weight_decay=1e-5, momentum=0.0)


def build_optimizer(plan: Optimizer, model: nn.Module, encoders: nn.Module) -> Any:
    """Return the optimiser that ``plan`` describes, with its step schedule where there are milestones.

    The backbones in ``encoders`` form a slower group of their own; frozen weights are in no group. The result is what
    Lightning's ``configure_optimizers`` returns. Raises UsageError where nothing can be trained.
    """
    said: dict[str, Any] = asdict(plan.over(COMMON))
    in_backbone = {id(parameter) for parameter in encoders.parameters()}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    new = [parameter for parameter in learning if id(parameter) not in in_backbone]
    slow = [parameter for parameter in learning if id(parameter) in in_backbone]
    if not learning:
        raise UsageError(f"{type(model).__name__} has no weights that learn")
    rate = said["learning_rate"]
    groups = [{"params": new, "lr": rate, "name": "new"}] if new else []
    if slow:
        groups.append({"params": slow, "lr": rate * said["backbone_factor"], "name": "backbone"})
    optimizer = _construct(said, groups)
    if not said["milestones"]:
        return optimizer
    schedule = MultiStepLR(optimizer, list(said["milestones"]), said["gamma"])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": said["interval"]}}


def _construct(said: Mapping[str, Any], groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    common = {"lr": said["learning_rate"], "weight_decay": said["weight_decay"]}
    if said["name"] == "adam":
        return torch.optim.Adam(groups, **common)
    if said["name"] == "adamw":
        return torch.optim.AdamW(groups, **common)
    if said["name"] == "sgd":
        return torch.optim.SGD(groups, momentum=said["momentum"], nesterov=said["nesterov"], **common)
    if said["name"] == "rmsprop":
        return torch.optim.RMSprop(groups, momentum=said["momentum"], **common)
    known = ["adam", "adamw", "sgd", "rmsprop"]
    raise UsageError(f"unknown optimiser {said['name']!r}" + did_you_mean(said["name"], known))
