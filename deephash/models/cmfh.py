"""CMFH: collective matrix factorisation hashing, unsupervised, complete pairs.

Ding, Guo, Zhou, CVPR 2014. Both modalities of a pair share one latent vector Y, and linear maps predict it:

    J = sum_m alpha_m (|X_m - Y U_m|^2 + mu |Y - X_m W_m|^2)  +  gamma (|Y|^2 + sum_m |U_m|^2 + mu |W_m|^2)

The code of a row is sgn(x W_m). Settings as in the authors' code: alpha 0.5 each, mu 100, gamma 0.01, 25 rounds.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.cross_modal import LinearCrossModal, centred_pairs


class CMFH(LinearCrossModal):
    """Collective matrix factorisation; each sweep solves U, Y and W exactly in turn.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        alpha: weight of pictures; texts weigh 1 - alpha.
        mu: weight of the linear maps.
        gamma: ridge.
        unit_norm: divide features by their norm first.
        seed: of the first latent vectors.
    """

    training_only: ClassVar[tuple[str, ...]] = ("alpha", "mu", "gamma", "seed")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        *,
        alpha: float = 0.5,
        mu: float = 100.0,
        gamma: float = 0.01,
        unit_norm: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, unit_norm=unit_norm)
        self.save_hyperparameters()
        if not 0 < alpha < 1 or mu <= 0 or gamma <= 0:
            raise UsageError(f"alpha lies in (0, 1), mu and gamma above 0; given {alpha}, {mu}, {gamma}")
        self.alphas = {"image": alpha, "text": 1 - alpha}
        self.mu, self.gamma, self.seed = mu, gamma, seed
        self._pairs: dict[str, Tensor] = {}
        self._latent = torch.zeros(0)
        self._factors: dict[str, Tensor] = {}
        self._maps: dict[str, Tensor] = {}
        self._grams: dict[str, Tensor] = {}

    def start(self, features: Inputs) -> None:
        """Centre the pairs and draw the first latent vectors."""
        generator = torch.Generator().manual_seed(self.seed)
        self._pairs = centred_pairs(self, features)
        rows = self._pairs["image"]
        draw = torch.randn(len(rows), self.num_bits, generator=generator, dtype=torch.float64)
        self._latent = draw.to(rows)
        for name, x in self._pairs.items():
            gram = x.T @ x
            gram.diagonal().add_(self.gamma / self.alphas[name])
            self._grams[name] = torch.linalg.cholesky(gram)
        self._update_maps()

    def sweep(self, features: Inputs) -> Tensor:
        """Update U, then Y, then W, and return the objective."""
        self._update_factors()
        self._update_latent()
        self._update_maps()
        return self._objective()

    def _update_factors(self) -> None:
        for name, x in self._pairs.items():
            gram = self._latent.T @ self._latent
            gram.diagonal().add_(self.gamma / self.alphas[name])
            self._factors[name] = torch.linalg.solve(gram, self._latent.T @ x)

    def _update_latent(self) -> None:
        left = self.gamma * torch.eye(self.num_bits).to(self._latent)
        right = torch.zeros_like(self._latent)
        for name, x in self._pairs.items():
            u, alpha = self._factors[name], self.alphas[name]
            left = left + alpha * (u @ u.T + self.mu * torch.eye(self.num_bits).to(u))
            right = right + alpha * (x @ u.T + self.mu * x @ self._maps[name])
        self._latent = torch.linalg.solve(left, right.T).T

    def _update_maps(self) -> None:
        for name, x in self._pairs.items():
            self._maps[name] = torch.cholesky_solve(x.T @ self._latent, self._grams[name])
            self.publish(name, weights=self._maps[name])

    def _objective(self) -> Tensor:
        total = self.gamma * self._latent.square().sum()
        for name, x in self._pairs.items():
            u, w, alpha = self._factors[name], self._maps[name], self.alphas[name]
            total = total + alpha * (x - self._latent @ u).square().sum() + self.gamma * u.square().sum()
            total = (
                total
                + alpha * self.mu * (self._latent - x @ w).square().sum()
                + self.gamma * self.mu * w.square().sum()
            )
        return total
