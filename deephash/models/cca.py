"""Canonical correlation and principal components as cross-modal hash functions: CCA-sign, CCA-ITQ and PCA-sign.

Hotelling 1936; CCA-ITQ after Gong and Lazebnik, CVPR 2011. Baselines, fitted in closed form on
complete pairs without labels.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.cross_modal import (
    MODALITIES,
    LinearCrossModal,
    centred_pairs,
    principal_directions,
    procrustes,
    random_rotation,
)
from deephash.models.cross_modal_itq import complete_basis
from deephash.objectives.signs import sign


class CCAHash(LinearCrossModal):
    """Signs of canonical variates, rotated by ITQ where asked.

    Args:
        num_bits: K. Components beyond the rank of the data get random orthogonal directions.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        ridge: added to the covariances, as a share of their mean variance. Near zero is textbook CCA, which overfits
            where features are many and pairs few; large is partial least squares.
        rotate: rotate canonical variates by ITQ (CCA-ITQ); variates are weighted by their correlation first, as there.
        unit_norm: divide features by their norm first.
        seed: of the rotation.
    """

    training_only: ClassVar[tuple[str, ...]] = ("ridge", "seed")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        *,
        ridge: float = 1.0,
        rotate: bool = True,
        unit_norm: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, unit_norm=unit_norm)
        self.save_hyperparameters()
        if ridge <= 0:
            raise UsageError(f"ridge must be above 0, or covariances may have no inverse; given {ridge}")
        self.ridge, self.rotate, self.seed = ridge, rotate, seed
        self._directions: dict[str, Tensor] = {}
        self._variates: Tensor | None = None
        self._rotation = torch.zeros(0)

    def start(self, features: Inputs) -> None:
        """Whiten both covariances and take the singular vectors of the cross-covariance."""
        generator = torch.Generator().manual_seed(self.seed)
        pairs = centred_pairs(self, features)
        whiteners = {name: _inverse_root(rows, self.ridge) for name, rows in pairs.items()}
        between = whiteners["image"] @ (pairs["image"].T @ pairs["text"]) @ whiteners["text"] / len(pairs["image"])
        left, correlations, right = torch.linalg.svd(between, full_matrices=False)
        count = min(self.num_bits, len(correlations))
        joined = torch.cat([left[:, :count], right[:count].T])  # one sign a component, whichever modality comes first
        turned = sign(joined.gather(0, joined.abs().argmax(dim=0, keepdim=True)))
        scale = correlations[:count].clamp(0, 1) if self.rotate else torch.ones_like(correlations[:count])
        for name, basis in (("image", left[:, :count] * turned), ("text", right[:count].T * turned)):
            self._directions[name] = _fill(whiteners[name] @ basis * scale, self.num_bits, generator)
        self._variates = torch.cat([pairs[name] @ self._directions[name] for name in MODALITIES])
        identity = torch.eye(self.num_bits).to(self._variates)
        self._rotation = random_rotation(self.num_bits, generator, identity) if self.rotate else identity
        self._publish()

    def sweep(self, features: Inputs) -> Tensor:
        """Return the quantisation error |sgn(V R) - V R|^2 / N after one round of ITQ (or none)."""
        if self._variates is None:
            raise UsageError("call fit, which starts before it sweeps")
        if self.rotate:
            self._rotation = procrustes(self._variates.T @ sign(self._variates @ self._rotation))
            self._publish()
        rotated = self._variates @ self._rotation
        return (sign(rotated) - rotated).square().sum() / len(rotated)

    def _publish(self) -> None:
        for name in MODALITIES:
            self.publish(name, weights=self._directions[name] @ self._rotation)


class CrossModalPCA(LinearCrossModal):
    """Signs of each modality's own principal components; across modalities near chance by design, the floor of a table.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        unit_norm: divide features by their norm first.
        seed: of the directions beyond the rank of the data.
    """

    training_only: ClassVar[tuple[str, ...]] = ("seed",)

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        *,
        unit_norm: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, unit_norm=unit_norm)
        self.save_hyperparameters()
        self.seed = seed
        self._lost = torch.zeros(())

    def start(self, features: Inputs) -> None:
        """Take the leading principal components of each modality's pairs."""
        generator = torch.Generator().manual_seed(self.seed)
        for name, rows in centred_pairs(self, features).items():
            directions, values = principal_directions(rows, self.num_bits)
            self.publish(name, weights=_fill(directions, self.num_bits, generator))
            self._lost = self._lost.to(rows) + rows.square().sum() - values.sum()

    def sweep(self, features: Inputs) -> Tensor:
        """Return the variance left out; there is nothing to iterate."""
        return self._lost


def _inverse_root(rows: Tensor, ridge: float) -> Tensor:
    covariance = rows.T @ rows / len(rows)
    covariance.diagonal().add_(ridge * float(covariance.diagonal().mean().clamp_min(1e-12)))
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp_min(1e-300).rsqrt() @ vectors.T
    return root


def _fill(directions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Fill up to ``count`` columns: with orthogonal random directions, or random ones where the space is exhausted."""
    width, rank = directions.shape
    if rank >= count:
        return directions
    basis, _ = torch.linalg.qr(directions)
    fresh = complete_basis(basis, min(count, width), generator)[:, rank:]
    beyond = torch.randn(width, max(count - width, 0), generator=generator, dtype=torch.float64).to(directions)
    scale = directions.norm(dim=0).min()  # new bits must not outweigh the learned ones in the rotation
    return torch.cat([directions, scale * fresh, scale * beyond / width**0.5], dim=1)
