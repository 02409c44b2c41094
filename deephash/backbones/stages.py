"""The last two stages of a timm network, side by side in one vector: what two-branch methods such as CSCE-Net read."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from deephash.backbones.pretrained import TimmEncoder
from deephash.backbones.spec import Backbone
from deephash.errors import UsageError

Shape = tuple[int, int, int]


class TimmStages(TimmEncoder):
    """``timm-stages:NAME``: features are the last two stage maps, flattened and joined, so that they can be cached.

    Attributes:
        stage_shapes: (C, H, W) of the earlier (stride 16, as a rule) and of the last stage (stride 32).
    """

    def __init__(self, spec: Backbone, name: str) -> None:
        super().__init__(spec, name)
        if not hasattr(self.network, "forward_intermediates"):
            raise UsageError(f"timm:{name} does not give its stages; take a ResNet, MobileNet or EfficientNet")
        self.network.eval()
        maps = self._maps_of(self.transform.size)
        if any(each.ndim != 4 for each in maps):
            raise UsageError(f"timm:{name} gives no [C, H, W] maps; take a ResNet, MobileNet or EfficientNet")
        first, last = (tuple(each.shape[1:]) for each in maps)
        self.stage_shapes: tuple[Shape, Shape] = ((first[0], first[1], first[2]), (last[0], last[1], last[2]))
        self.num_features = sum(each[0].numel() for each in maps)

    def forward(self, batch: Tensor) -> Tensor:
        """Return both maps as [B, C3 H3 W3 + C4 H4 W4]."""
        return torch.cat([each.flatten(1) for each in self._maps(batch)], dim=1)

    def _maps_of(self, side: int) -> list[Tensor]:
        """Return maps without values for a picture of ``side`` pixels; shapes cost nothing, whatever the size."""
        shapes_only = copy.deepcopy(self.network).to("meta")
        with torch.no_grad():
            return self._maps(torch.zeros(1, 3, side, side, device="meta"), shapes_only)

    def _maps(self, batch: Tensor, network: Any = None) -> list[Tensor]:
        stages: Any = (network or self.network).forward_intermediates
        maps: list[Tensor] = stages(batch, indices=2, intermediates_only=True)
        return maps


def split_stages(features: Tensor, shapes: tuple[Shape, Shape]) -> tuple[Tensor, Tensor]:
    """Return the two maps [B, C, H, W] that ``features`` [B, D] join."""
    sizes = [channels * height * width for channels, height, width in shapes]
    if features.shape[1] != sum(sizes):
        raise UsageError(
            f"stage maps of shapes {shapes[0]} and {shapes[1]} make {sum(sizes)} features, not {features.shape[1]}; "
            "cache the features with this backbone and image size"
        )
    first, last = torch.split(features, sizes, dim=1)
    return first.reshape(-1, *shapes[0]), last.reshape(-1, *shapes[1])
