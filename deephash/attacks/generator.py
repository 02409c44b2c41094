"""The networks of ProS-GAN (Wang et al., CVPR 2021): from a picture and a label's semantic vector to a picture."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from deephash.attacks.prototype import SEMANTIC

_COARSEST = 16  # pixels of the picture a pixel of the label branch's first map


def _halving(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 4, 2, 1), nn.InstanceNorm2d(after), nn.ReLU()]


def _doubling(before: int, after: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.InstanceNorm2d(after), nn.ReLU()]


class Residual(nn.Module):
    """x + two 3 x 3 convolutions with instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        added: Tensor = maps + self.body(maps)
        return added


class Generator(nn.Module):
    """G(x, f): a picture in [-1, 1] and the semantic vector f [B, 512] to an adversarial picture in [-1, 1].

    For 224 pixels it is the release's, parameter by parameter (21,454,121); other sides change the first layer of the
    label branch only. Sides that are no multiple of 16 are cut out of the next larger one.

    Args:
        side: pixels of the square pictures.
    """

    def __init__(self, side: int = 224) -> None:
        super().__init__()
        self.side, self.coarse = side, ceil(side / _COARSEST)
        self.label = nn.Sequential(nn.Linear(SEMANTIC, 128 * self.coarse**2), nn.ReLU())
        self.upward = nn.Sequential(
            *(layer for pair in ((128, 64), (64, 32), (32, 16), (16, 8)) for layer in _doubling(*pair)),
            nn.Conv2d(8, 3, 3, padding=1, bias=False),
        )
        self.encoder = nn.Sequential(
            nn.Conv2d(6, 64, 7, padding=3),
            nn.InstanceNorm2d(64),
            nn.ReLU(),
            *_halving(64, 128),
            *_halving(128, 256),
            *(Residual(256) for _ in range(3)),
        )
        self.decoder = nn.Sequential(*(Residual(256) for _ in range(3)), *_doubling(256, 128), *_doubling(128, 64))
        self.output = nn.Conv2d(67, 3, 3, padding=1, bias=False)

    def forward(self, pictures: Tensor, semantic: Tensor) -> Tensor:
        """Return adversarial pictures [B, 3, side, side]."""
        maps = self.upward(self.label(semantic).view(-1, 128, self.coarse, self.coarse))
        whole = self.coarse * _COARSEST
        missing = whole - self.side
        padded = nn.functional.pad(pictures, (0, missing, 0, missing), mode="replicate") if missing else pictures
        decoded = self.decoder(self.encoder(torch.cat([maps, padded], dim=1)))
        changed: Tensor = torch.tanh(self.output(torch.cat([decoded, padded], dim=1)))
        return changed[..., : self.side, : self.side]


class Discriminator(nn.Module):
    """D(x): C class scores and one that says fake (1) or real (0), [B, C + 1].

    Five spectrally normalised convolutions, fewer for pictures below 32 pixels, and one over what is left.
    Normalisation iterates in training mode only, so that two equal calls in evaluation agree.

    Args:
        num_classes: C.
        side: pixels of the square pictures.
    """

    def __init__(self, num_classes: int, side: int = 224) -> None:
        super().__init__()
        depth = max(1, min(5, int(log2(side))))
        widths = [3, 64, 128, 256, 512, 1024][: depth + 1]
        self.body = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in (spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.01))
            )
        )
        self.scores = nn.Conv2d(widths[-1], num_classes + 1, side >> depth, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [B, C + 1], of a batch of one too."""
        found: Tensor = self.scores(self.body(pictures)).flatten(1)
        return found
