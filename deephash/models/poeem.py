"""Poeem: Zhang et al., "Joint Learning of Deep Retrieval Model and Product Quantization based Embedding Index", SIGIR
2021 (arXiv 2105.03933).

Rotation and sub-codebooks are weights of the network: items go through them straight-through, queries stay float. What
an index keeps of an item is its product code, one byte a part (:mod:`deephash.index.product`); the signs of the turned
embedding are its K-bit code, by which a shortlist is found. Measured results: docs/methods/poeem.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.centring import training_features
from deephash.models.neighbours import Neighbours, nearest_neighbours
from deephash.models.objective import ObjectiveHashModel
from deephash.models.optimizers import Optimizer
from deephash.numbers import whole
from deephash.objectives.checks import require_finite, require_rows
from deephash.objectives.product import (
    asymmetric_contrast,
    fitted_rotation_and_codebooks,
    nearest_rotation,
    quantised_straight_through,
    require_parts,
    turned_for_signs,
)

Batch = Mapping[str, Tensor]
FITTED_ON = 8192  # embeddings of the warm start, as released


class Poeem(ObjectiveHashModel):
    """Product codes learned with the map that they quantise; on features of a frozen network or vectors at hand.

    Args:
        num_bits: K, dimensions of the embedding, whose signs are the code.
        backbone: whose features are mapped, frozen, or ``features:D`` for vectors at hand.
        parts: M, bytes of a product code; divides K. None takes as many as the code has, or the next fewer that divide.
        centroids: C of each part, 2 to 256.
        learn_rotation: False keeps R as the warm start found it.
        scale: of the softmax.
        distortion_weight: of the regulariser that moves centroids and rotation.
        num_neighbours: k, of which a partner is drawn.
        warm_up: steps in which the contrast sees floats; then rotation and codebooks are fitted anew.
        optimizer: see :class:`Optimizer`; None takes Adam without decay, which would shrink centroids.
    """

    training_only: ClassVar[tuple[str, ...]] = ("scale", "distortion_weight", "num_neighbours", "warm_up")
    default_optimizer: ClassVar[Optimizer] = Optimizer("adam", 1e-4, 1.0, 0.0)
    steps: Tensor
    started: Tensor

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        parts: int | None = None,
        centroids: int = 256,
        learn_rotation: bool = True,
        scale: float = 30.0,
        distortion_weight: float = 1.0,
        num_neighbours: int = 5,
        warm_up: int = 0,
        optimizer: Optimizer | None = None,
    ) -> None:
        super().__init__(num_bits, {"image": backbone}, optimizer)
        self.save_hyperparameters()
        self.parts = usual_parts(num_bits) if parts is None else whole(parts, "parts, the bytes of a code,", least=1)
        self.count = whole(centroids, "centroids, of each part,", least=2, most=256)
        self.learn_rotation, self.scale, self.distortion_weight = learn_rotation, scale, distortion_weight
        self.num_neighbours, self.warm_up = num_neighbours, whole(warm_up, "warm_up, in steps,")
        wide = require_parts(num_bits, self.parts)
        self.head = nn.Linear(int(self.encoders["image"].num_features), num_bits)
        self.rotation = nn.Parameter(torch.eye(num_bits), requires_grad=learn_rotation)
        self.product_centroids = nn.Parameter(torch.randn(self.parts, centroids, wide) / num_bits**0.5)
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("started", torch.tensor(False))
        self._neighbours: Neighbours | None = None

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the turned embedding y = x R, [B, K], of unit length; its signs are the code."""
        return self.embedded(self.features(inputs)) @ self.rotation

    def vectors(self, inputs: Inputs) -> Tensor:
        """Return what product codes quantise and queries are compared by: :meth:`forward`."""
        return self.forward(inputs)

    def embedded(self, features: Tensor) -> Tensor:
        """Return x [B, K], of unit length, of features [B, D]."""
        return normalize(self.head(normalize(features, dim=1)), dim=1)

    # Training --------------------------------------------------------------------------------------

    def prepare(self, table: Tensor) -> None:
        """Keep training features [N, D], find each row's neighbours, and begin at principal axes and k-means.

        Raises:
            UsageError: features with NaN, or fewer rows than centroids.
        """
        require_finite(table, "features")
        self._neighbours = Neighbours(table, nearest_neighbours(table, self.num_neighbours, similarity="cosine"))
        if not self.started:
            self._start_head(normalize(table, dim=1))
            self.fit_codebooks()
            self.started.fill_(True)

    def on_fit_start(self) -> None:
        """Take the training features from the data module."""
        if self._neighbours is not None:
            return
        table = training_features(self.trainer)
        if table is None:
            raise UsageError("Poeem draws partners among cached features: use a frozen backbone and a HashDataModule")
        self.prepare(table.to(self.device))

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``contrast`` of float rows against quantised neighbours, and ``distortion``."""
        if self._neighbours is None:
            raise UsageError("Poeem does not know neighbours yet: train with a Trainer, or call prepare(features)")
        features, index = self.features(batch), batch["index"]
        require_rows(len(features), 2, "Poeem")
        require_finite(features, "features")
        if int(self.steps) == self.warm_up > 0:
            self.fit_codebooks()
        warm = int(self.steps) < self.warm_up
        self.steps += 1
        partners, same = self._neighbours.partners(index)
        with torch.autocast(self.device.type, enabled=False):
            query, item = self.embedded(features.float()), self.embedded(partners.float())
            value, distortion = quantised_straight_through(item, self.rotation, self.product_centroids)
            contrast = asymmetric_contrast(query, item if warm else value, same, scale=self.scale)
        return {"contrast": contrast, "distortion": self.distortion_weight * distortion}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Make the rotation orthogonal again after the step."""
        self.restore_rotation()

    @torch.no_grad()
    def restore_rotation(self) -> None:
        """Replace R by the nearest orthogonal matrix; a step of a gradient leaves the rotations (ours)."""
        if self.learn_rotation:
            self.rotation.copy_(nearest_rotation(self.rotation))

    @torch.no_grad()
    def fit_codebooks(self) -> None:
        """Fit rotation and codebooks to the embeddings of at most 8,192 training rows as they are now."""
        assert self._neighbours is not None
        table = self._neighbours.table
        some = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:FITTED_ON].to(table.device)
        rows = self.embedded(table[some].float())
        found = turned_for_signs(rows, *fitted_rotation_and_codebooks(rows, self.parts, self.count))
        self.rotation.copy_(found[0])
        self.product_centroids.copy_(found[1])

    @torch.no_grad()
    def _start_head(self, rows: Tensor) -> None:
        """Begin at the principal axes of the features, around their mean, or signs would be lopsided (ours)."""
        mean = rows.mean(dim=0)
        _, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean))
        count = min(self.num_bits, axes.shape[1])
        self.head.weight.zero_()
        self.head.weight[:count] = axes.flip(1)[:, :count].T
        self.head.bias.copy_(-self.head.weight @ mean)


def usual_parts(width: int) -> int:
    """Return the largest divisor of ``width`` that is at most an eighth of it, so that both codes have equal bytes."""
    return next(parts for parts in range(max(1, width // 8), 0, -1) if width % parts == 0)
