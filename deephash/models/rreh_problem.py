"""The objective of RREH and the exact minimiser of each of its blocks; the model around it is in ``rreh.py``.

Rows are samples here. For a modality m: X_p [n_p, d_m] pairs, X_u [n_m, d_m] unpaired, A [a, d_m] anchors, latent V
[., K], codes B [., K], relation Z [n_m, a], U [K, d_m], W [d_m, K], rotation R [K, K].

    J = sum_m alpha_m (|X_p - V_p U|^2 + delta |X_u - V_u U|^2)  +  beta sum_m |V_u - Z V_a|^2  +  gamma |B - V R|^2
        + mu sum_m |B_m - X_m W|^2  +  lam (|V|^2 + sum_m alpha_m |U|^2)  +  mu lam_w sum_m |W|^2
        [+ sum_m rho |X_u - Z A|^2 + lam_z |Z|^2   where Z is learned too]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.models.cross_modal import principal_directions, procrustes, random_rotation
from deephash.objectives.signs import sign


@dataclass(frozen=True)
class RelationWeights:
    """Weights of the objective; the defaults were found on synthetic data and are not the paper's.

    Attributes:
        alpha: weight of the factorisation of pictures and of texts.
        delta: weight of unpaired items inside the factorisation.
        beta: weight of the relation term, the heart of the method; 0 switches it off.
        gamma: weight of the quantisation.
        mu: weight of the hash functions.
        lam: ridge on V and U.
        hash_ridge: ridge on W, as a multiple of K.
        relation_ridge: ridge on Z, as a multiple of K.
        rho: weight of the reconstruction where Z is learned in the loop.
    """

    alpha: tuple[float, float] = (1.0, 1.0)
    delta: float = 0.1
    beta: float = 5.0
    gamma: float = 0.2
    mu: float = 0.05
    lam: float = 1.0
    hash_ridge: float = 10.0
    relation_ridge: float = 5.0
    rho: float = 1.0

    def __post_init__(self) -> None:
        if min(*self.alpha, self.gamma, self.lam, self.hash_ridge, self.relation_ridge) <= 0:
            raise UsageError(
                "alpha, gamma, lam, hash_ridge and relation_ridge must be above 0, or steps have no solution"
            )
        if min(self.delta, self.beta, self.mu, self.rho) < 0:
            raise UsageError("delta, beta, mu and rho must not be negative")


@dataclass
class Side:
    """Data and unknowns of one modality; shapes as in the head of this file."""

    alpha: float
    x_pairs: Tensor
    x_alone: Tensor
    anchors: Tensor
    z: Tensor
    v: Tensor
    b: Tensor
    u: Tensor
    w: Tensor
    gram: Tensor  # Cholesky factor of XᵀX + lam_w I, computed once


class RelationProblem:
    """The objective and the exact minimiser of each block; each ``update_*`` can only lower :meth:`objective`.

    Args:
        pairs: centred and scaled features of the pairs, [n_p, d_m] a modality.
        alone: those of the unpaired items, [n_m, d_m].
        anchor_rows: rows of the pairs that serve as anchors, the same for both modalities.
        num_bits: K.
        weights: see :class:`RelationWeights`.
        generator: of the random rotation of the first latent vectors.
        lle_neighbours: 0, or the number of nearest anchors that may reconstruct an item (weights sum to one).
        joint_z: learn Z in the loop instead of keeping the linear reconstruction.
    """

    def __init__(
        self,
        pairs: dict[str, Tensor],
        alone: dict[str, Tensor],
        anchor_rows: Tensor,
        num_bits: int,
        weights: RelationWeights,
        generator: torch.Generator,
        *,
        lle_neighbours: int = 0,
        joint_z: bool = False,
    ) -> None:
        self.weights, self.num_bits, self.anchor_rows, self.joint_z = weights, num_bits, anchor_rows, joint_z
        self.v_pairs = first_latent(torch.cat(list(pairs.values()), dim=1), num_bits, generator)
        self.b_pairs = sign(self.v_pairs)
        self.rotation = torch.eye(num_bits).to(self.v_pairs)
        self.sides = {
            name: self._side(alpha, pairs[name], alone[name], lle_neighbours)
            for name, alpha in zip(pairs, weights.alpha, strict=True)
        }
        self._refresh_coupling()
        self.update_w()
        self.update_u()  # U has no other first value; starting it at its optimum leaves J finite and low

    def _side(self, alpha: float, pairs: Tensor, alone: Tensor, neighbours: int) -> Side:
        anchors = pairs[self.anchor_rows]
        ridge = self.weights.relation_ridge * self.num_bits
        z = local_reconstruction(anchors, alone, neighbours) if neighbours else reconstruction(anchors, alone, ridge)
        v = z @ self.v_pairs[self.anchor_rows]
        gram = pairs.T @ pairs + alone.T @ alone
        gram.diagonal().add_(self.weights.hash_ridge * self.num_bits)
        empty = pairs.new_zeros(self.num_bits, pairs.shape[1])
        return Side(alpha, pairs, alone, anchors, z, v, sign(v), empty, empty.T.clone(), torch.linalg.cholesky(gram))

    @property
    def v_anchors(self) -> Tensor:
        """Latent vectors of the anchors, [a, K]."""
        return self.v_pairs[self.anchor_rows]

    def objective(self) -> Tensor:
        """Return J in the dtype of the data."""
        c, total = self.weights, self._quantisation(self.b_pairs, self.v_pairs) + self.weights.lam * _sq(self.v_pairs)
        for side in self.sides.values():
            total = total + side.alpha * (_sq(side.x_pairs - self.v_pairs @ side.u) + c.lam * _sq(side.u))
            total = total + side.alpha * c.delta * _sq(side.x_alone - side.v @ side.u) + c.lam * _sq(side.v)
            total = total + c.beta * _sq(side.v - side.z @ self.v_anchors) + self._quantisation(side.b, side.v)
            misfit = _sq(self.b_pairs - side.x_pairs @ side.w) + _sq(side.b - side.x_alone @ side.w)
            total = total + c.mu * (misfit + c.hash_ridge * self.num_bits * _sq(side.w))
            if self.joint_z:
                total = total + c.rho * _sq(side.x_alone - side.z @ side.anchors)
                total = total + c.relation_ridge * self.num_bits * _sq(side.z)
        return total

    def _quantisation(self, b: Tensor, v: Tensor) -> Tensor:
        return self.weights.gamma * _sq(b - v @ self.rotation)

    # Updates, in the order of a sweep --------------------------------------------------------------

    def update_u(self) -> None:
        """U = (V_pᵀV_p + delta V_uᵀV_u + lam I)⁻¹ (V_pᵀX_p + delta V_uᵀX_u)."""
        delta = self.weights.delta
        for side in self.sides.values():
            gram = self.v_pairs.T @ self.v_pairs + delta * side.v.T @ side.v
            gram.diagonal().add_(self.weights.lam)
            side.u = torch.linalg.solve(gram, self.v_pairs.T @ side.x_pairs + delta * side.v.T @ side.x_alone)

    def update_v_alone(self) -> None:
        """V_u = (delta alpha X_u Uᵀ + beta Z V_a + gamma B_u Rᵀ)(delta alpha U Uᵀ + (beta + gamma + lam) I)⁻¹."""
        c = self.weights
        for side in self.sides.values():
            share = c.delta * side.alpha
            left = share * side.u @ side.u.T
            left.diagonal().add_(c.beta + c.gamma + c.lam)
            right = (
                share * side.x_alone @ side.u.T + c.beta * side.z @ self.v_anchors + c.gamma * side.b @ self.rotation.T
            )
            side.v = torch.linalg.solve(left, right.T).T

    def update_v_pairs(self) -> None:
        """Solve V P = H for pairs; Z couples the anchors by the Sylvester equation V_a P + Q V_a = C."""
        c = self.weights
        precision = torch.eye(self.num_bits).to(self.v_pairs) * (c.gamma + c.lam)
        target = c.gamma * self.b_pairs @ self.rotation.T
        for side in self.sides.values():
            precision = precision + side.alpha * side.u @ side.u.T
            target = target + side.alpha * side.x_pairs @ side.u.T
        self.v_pairs = torch.linalg.solve(precision, target.T).T
        pulled = sum(side.z.T @ side.v for side in self.sides.values())
        right = target[self.anchor_rows] + c.beta * pulled
        values, vectors = self.coupling
        self.v_pairs[self.anchor_rows] = solve_symmetric_sylvester(precision, values, vectors, right)

    def update_z(self) -> None:
        """Z = (rho X_u Aᵀ + beta V_u V_aᵀ)(rho A Aᵀ + beta V_a V_aᵀ + lam_z I)⁻¹, only where Z is learned."""
        c = self.weights
        for side in self.sides.values():
            gram = c.rho * side.anchors @ side.anchors.T + c.beta * self.v_anchors @ self.v_anchors.T
            gram.diagonal().add_(c.relation_ridge * self.num_bits)
            right = c.rho * side.x_alone @ side.anchors.T + c.beta * side.v @ self.v_anchors.T
            side.z = torch.linalg.solve(gram, right.T).T
        self._refresh_coupling()

    def update_rotation(self) -> None:
        """R by orthogonal Procrustes on VᵀB."""
        product = self.v_pairs.T @ self.b_pairs + sum(side.v.T @ side.b for side in self.sides.values())
        self.rotation = procrustes(product)

    def update_w(self) -> None:
        """W = (XᵀX + lam_w I)⁻¹ XᵀB, with the factor of the left side kept."""
        for side in self.sides.values():
            right = side.x_pairs.T @ self.b_pairs + side.x_alone.T @ side.b
            side.w = torch.cholesky_solve(right, side.gram)

    def update_b(self) -> None:
        """B = sgn(gamma V R + mu X W); |b|^2 = K is constant, so every code is exact on its own."""
        c = self.weights
        self.b_pairs = sign(
            c.gamma * self.v_pairs @ self.rotation + c.mu * sum(side.x_pairs @ side.w for side in self.sides.values())
        )
        for side in self.sides.values():
            side.b = sign(c.gamma * side.v @ self.rotation + c.mu * side.x_alone @ side.w)

    def sweep(self) -> Tensor:
        """Do all updates once and return the objective."""
        self.update_u()
        self.update_v_alone()
        self.update_v_pairs()
        if self.joint_z:
            self.update_z()
        self.update_rotation()
        self.update_w()
        self.update_b()
        return self.objective()

    def _refresh_coupling(self) -> None:
        relation = self.weights.beta * sum(side.z.T @ side.z for side in self.sides.values())
        self.coupling = torch.linalg.eigh(cast(Tensor, relation))


def first_latent(stacked: Tensor, num_bits: int, generator: torch.Generator) -> Tensor:
    """Return a random rotation of the top-K joint principal components of the pairs, not whitened, at unit mean square.

    Whitening would spread noise directions over all bits. Fewer than K components are padded with zeros, which the
    rotation then mixes.
    """
    directions, _ = principal_directions(stacked, num_bits)
    latent = stacked.new_zeros(len(stacked), num_bits)
    latent[:, : directions.shape[1]] = stacked @ directions
    latent = latent @ random_rotation(num_bits, generator, stacked)
    return latent / latent.square().mean().sqrt().clamp_min(1e-12)


def reconstruction(anchors: Tensor, rows: Tensor, ridge: float) -> Tensor:
    """Return Z [n, a] that minimises |rows - Z anchors|^2 + ridge |Z|^2."""
    gram = anchors @ anchors.T
    gram.diagonal().add_(ridge)
    relation: Tensor = torch.linalg.solve(gram, anchors @ rows.T).T.contiguous()
    return relation


def local_reconstruction(anchors: Tensor, rows: Tensor, neighbours: int, *, block: int = 4096) -> Tensor:
    """Return Z [n, a] as in locally linear embedding: the nearest anchors only, each row summing to one."""
    neighbours = min(neighbours, len(anchors))
    z = rows.new_zeros(len(rows), len(anchors))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        nearest = torch.cdist(part, anchors).topk(neighbours, largest=False).indices
        offsets = anchors[nearest] - part[:, None]  # [block, s, d]
        gram = offsets @ offsets.transpose(1, 2)
        trace = gram.diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(1e-12)
        gram.diagonal(dim1=1, dim2=2).add_(1e-3 * trace[:, None])
        share = torch.linalg.solve(gram, torch.ones_like(gram[:, :, :1]))[:, :, 0]
        z[start : start + block].scatter_(1, nearest, share / share.sum(dim=1, keepdim=True))
    return z


def solve_symmetric_sylvester(p: Tensor, q_values: Tensor, q_vectors: Tensor, right: Tensor) -> Tensor:
    """Return V [a, K] with V P + Q V = C, for symmetric P [K, K] > 0 and Q = E diag(q) Eᵀ >= 0 given decomposed."""
    p_values, p_vectors = torch.linalg.eigh(p)
    inner = q_vectors.T @ right @ p_vectors
    solution: Tensor = q_vectors @ (inner / (q_values.clamp_min(0)[:, None] + p_values)) @ p_vectors.T
    return solution


def _sq(matrix: Tensor) -> Tensor:
    return matrix.square().sum()
