"""The layers of CSCE-Net: ASPP and attention (local branch), sliding windows (global branch), and AIE that joins them.

The network derives from DOLG. B batch, D joint width, W windows.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize, softplus

from deephash.backbones.stages import Shape
from deephash.errors import UsageError

WINDOW_SIDES = (2, 4)
DILATIONS = (6, 12, 18)


def num_windows(height: int, width: int) -> int:
    """Return how many 2 x 2 and 4 x 4 windows of stride 1 fit into a map; 52 for 7 x 7."""
    if min(height, width) < max(WINDOW_SIDES):
        raise UsageError(
            f"CSCE-Net slides 4 x 4 windows over the last map, which is only {height} x {width}; raise image_size "
            "(128 gives 4 x 4 at stride 32)"
        )
    return sum((height - side + 1) * (width - side + 1) for side in WINDOW_SIDES)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling, [B, C, H, W] -> the same: 1 x 1, three dilated 3 x 3, and the picture's mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        dilated = [nn.Conv2d(channels, half, 3, padding=rate, dilation=rate) for rate in DILATIONS]
        self.branches = nn.ModuleList([nn.Conv2d(channels, half, 1), *dilated])
        self.pooled = nn.Conv2d(channels, half, 1)
        self.join = nn.Conv2d(5 * half, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the joined branches."""
        mean = torch.relu(self.pooled(adaptive_avg_pool2d(maps, 1))).expand(-1, -1, *maps.shape[-2:])
        return torch.relu(self.join(torch.cat([*(branch(maps) for branch in self.branches), mean], dim=1)))


class SpatialAttention(nn.Module):
    """Unit descriptors weighted by their attention, [B, C, H, W] -> [B, D, H, W].

    The batch norm's momentum .9 is the release's: running statistics follow the last batches.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)
        self.norm = nn.BatchNorm2d(width, momentum=0.9)
        self.score = nn.Conv2d(width, 1, 1)
        for conv in (self.project, self.score):
            nn.init.normal_(conv.weight, std=(2 / conv.out_channels) ** 0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """Return attention times unit descriptor at each position."""
        z = self.norm(self.project(maps))
        attention = softplus(self.score(torch.relu(z)))
        return attention * normalize(z, dim=1, eps=1e-12)


class SlidingWindows(nn.Module):
    """The last map read through 2 x 2 and 4 x 4 windows, [B, C, H, W] -> [B, D, W]; each window is one D-vector."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.Conv2d(channels, width // side**2, 1) for side in WINDOW_SIDES])

    def forward(self, maps: Tensor) -> Tensor:
        """Return all windows, small ones first."""
        windows = [nn.functional.unfold(project(maps), side) for project, side in zip(self.projections, WINDOW_SIDES)]
        return torch.cat(windows, dim=2)


def coded_projection(local: Tensor, windows: Tensor) -> Tensor:
    """Return ``G G^T f / |G|_F^2``, as released; with one window it is the projection onto it, with more it is not.

    Args:
        local: f [B, D, P], P positions.
        windows: G [B, D, W].
    """
    onto = windows @ (windows.transpose(1, 2) @ local)
    return onto / windows.square().sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def exact_projection(local: Tensor, windows: Tensor) -> Tensor:
    """Return ``G (G^T G)^+ G^T f``, the projection onto the span of the windows; arguments as for the coded one."""
    with torch.autocast(local.device.type, enabled=False):
        basis = windows.float()
        gram = basis.transpose(1, 2) @ basis
        ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + 1e-12
        gram = gram + ridge * torch.eye(gram.shape[1], device=gram.device)
        coordinates: Tensor = torch.linalg.solve(gram, basis.transpose(1, 2) @ local.float())
        return basis @ coordinates


class CrossScaleEmbedding(nn.Module):
    """Both branches and AIE: two stage maps -> f_e [B, 2D].

    Args:
        shapes: of the two maps.
        width: D, a multiple of 16; 1024 for ResNet-50.
        aspp: pass the local map through ASPP first (in the paper's figure, not in the release).
        projection: what AIE removes from the local map: see :func:`coded_projection` and :func:`exact_projection`.
    """

    def __init__(
        self, shapes: tuple[Shape, Shape], width: int, *, aspp: bool, projection: Literal["coded", "exact"]
    ) -> None:
        super().__init__()
        if width % max(WINDOW_SIDES) ** 2:
            raise UsageError(f"the joint width of CSCE-Net is a multiple of 16, not {width}")
        (local, _, _), (last, height, breadth) = shapes
        self.context = ASPP(local) if aspp else nn.Identity()
        self.attention = SpatialAttention(local, width)
        self.windows = SlidingWindows(last, width)
        self.pick = nn.Conv1d(num_windows(height, breadth), 1, 1)
        self.project = coded_projection if projection == "coded" else exact_projection

    def forward(self, local_map: Tensor, last_map: Tensor) -> Tensor:
        """Return the global vector beside the mean of the local residual."""
        windows = self.windows(last_map)  # [B, D, W]
        local = self.attention(self.context(local_map)).flatten(2)  # [B, D, P]
        residual = (local - self.project(local, windows)).mean(dim=2)
        overall = self.pick(windows.transpose(1, 2)).squeeze(1)
        return torch.cat([overall, residual], dim=1)
