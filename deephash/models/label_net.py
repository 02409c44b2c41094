"""LabelNet: the network from labels to outputs that teaches the other networks of DLCH, and is dropped afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from deephash.objectives.labels import multi_hot


class LabelNet:
    """C -> hidden -> ReLU -> K. It holds a module and is none: it must enter neither saved models nor fingerprints.

    The module is made when it is first asked for, not where a saved model is only read.

    Args:
        num_classes: C.
        hidden: width of the hidden layer.
        num_bits: K.
        seed: of its first weights; the global generator is left as it is.
    """

    def __init__(self, num_classes: int, hidden: int, num_bits: int, *, seed: int = 0) -> None:
        self.num_classes, self.seed = num_classes, seed
        self._widths = (num_classes, (hidden,), num_bits)

    @cached_property
    def net(self) -> nn.Sequential:
        """The module."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return small_normal(layers(*self._widths))

    def __call__(self, labels: Tensor) -> Tensor:
        """Return outputs h [b, K] of class numbers [b] or multi-hot labels [b, C]."""
        outputs: Tensor = self.net(multi_hot(labels, self.num_classes).to(next(self.net.parameters())))
        return outputs

    def to(self, device: torch.device) -> None:
        """Bring it to a device."""
        self.net.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Return its weights, for a checkpoint."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take its weights up."""
        self.net.load_state_dict(state)


def layers(width: int, hidden: tuple[int, ...], num_bits: int) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them, linear and unbounded at the end."""
    found: list[nn.Module] = []
    for outer in hidden:
        found += [nn.Linear(width, outer), nn.ReLU()]
        width = outer
    return nn.Sequential(*found, nn.Linear(width, num_bits))


def small_normal(network: nn.Sequential, std: float = 0.01) -> nn.Sequential:
    """Draw the weights of linear layers from N(0, std), biases too, as DLCH does."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.normal_(layer.bias, std=std)
    return network
