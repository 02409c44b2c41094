"""RREH: Reconstruction Relations Embedded Hashing for half-paired pictures and texts, unsupervised.

Paper: Wang, Shi, Luo, Zhang, Cheng, Xiao, ICIC 2024, arXiv 2405.17777. Only its abstract and introduction could be
read by us; the objective, its weights and its updates below are a reconstruction from them (``docs/methods/rreh.md``
says which part is which). All pairs share one latent vector; every unpaired item is written as a linear combination of
anchors (a random subset of the pairs, the same for both modalities), and that combination is carried into the latent
space. The objective and its updates are in ``rreh_problem.py``.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.cross_modal import MODALITIES, LinearCrossModal, PairedRows, require_choice
from deephash.models.rreh_problem import RelationProblem, RelationWeights


class RREH(LinearCrossModal):
    """Half-paired cross-modal hashing; fitted by sweeps, no labels used.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        weights: of the objective.
        num_anchors: a; all pairs where there are fewer.
        joint_z: learn the relation in the loop ("unified framework") instead of keeping the linear reconstruction.
        lle_neighbours: reconstruct from that many nearest anchors, weights summing to one; 0 takes all, with a ridge.
        rbf_anchors: 0, or the number of radial basis functions that replace the features (about 1000 is common).
        unit_norm: divide features by their norm first.
        seed: of anchors, radial basis centres and the first rotation.
    """

    training_only: ClassVar[tuple[str, ...]] = ("weights", "num_anchors", "joint_z", "lle_neighbours", "seed")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        *,
        weights: RelationWeights | None = None,
        num_anchors: int = 300,
        joint_z: bool = False,
        lle_neighbours: int = 0,
        rbf_anchors: int = 0,
        unit_norm: bool = False,
        seed: int = 0,
    ) -> None:
        self.rbf_anchors = rbf_anchors  # decides the shape of buffers that the base class registers
        super().__init__(num_bits, image_backbone, text_backbone, unit_norm=unit_norm)
        self.save_hyperparameters()
        if num_anchors < 1:
            raise UsageError(f"num_anchors must be at least 1, not {num_anchors}")
        if joint_z and lle_neighbours:
            raise UsageError("joint_z learns all reconstruction weights; it cannot be combined with lle_neighbours")
        self.weights = weights or RelationWeights()
        self.num_anchors, self.joint_z, self.lle_neighbours, self.seed = num_anchors, joint_z, lle_neighbours, seed
        self._problem: RelationProblem | None = None
        self._rows: PairedRows | None = None

    def _reserve(self, modality: str, width: int) -> None:
        if self.rbf_anchors:
            self.register_buffer(f"{modality}_centres", torch.zeros(self.rbf_anchors, width))
            self.register_buffer(f"{modality}_width", torch.ones(()))
        super()._reserve(modality, self.rbf_anchors or width)

    def mapped(self, modality: str, features: Tensor) -> Tensor:
        """Return features, or exp(-|x - c_j|^2 / (2 width^2)) for the radial basis centres c_j."""
        features = super().mapped(modality, features)
        if not self.rbf_anchors:
            return features
        distances = torch.cdist(features, self.get_buffer(f"{modality}_centres").to(features))
        return torch.exp(-0.5 * (distances / self.get_buffer(f"{modality}_width").to(features)).square())

    def start(self, features: Inputs) -> None:
        """Draw anchors from the pairs, centre and scale each modality, and set up the problem in float64."""
        generator = torch.Generator().manual_seed(self.seed)
        rows = PairedRows.of(features)
        count = min(self.num_anchors, len(rows.pairs))
        anchor_rows = torch.randperm(len(rows.pairs), generator=generator)[:count].to(rows.pairs.device)
        pairs, alone, self._scales = {}, {}, {}
        for modality in MODALITIES:
            table = features[f"{modality}_features"].double()
            present = torch.cat([rows.pairs, rows.alone(modality)])
            if self.rbf_anchors:
                self._choose_centres(modality, table[present], generator)
            mapped = self.mapped(modality, table[present])
            mean = mapped.mean(dim=0)
            self.publish(modality, mean=mean)
            mapped = mapped - mean
            self._scales[modality] = math.sqrt(self.num_bits / max(float(mapped.square().sum(dim=1).mean()), 1e-12))
            mapped = mapped * self._scales[modality]
            pairs[modality], alone[modality] = mapped[: len(rows.pairs)], mapped[len(rows.pairs) :]
        self._rows = rows
        self._problem = RelationProblem(
            pairs, alone, anchor_rows, self.num_bits, self.weights, generator,
            lle_neighbours=self.lle_neighbours, joint_z=self.joint_z,
        )  # fmt: skip
        self._publish_hash_functions()

    def sweep(self, features: Inputs) -> Tensor:
        """Do one round of all updates; W is refitted to the codes before it is published."""
        objective = self._fitted_problem().sweep()
        self._publish_hash_functions()
        return objective

    def training_codes(self, modality: Literal["image", "text"]) -> BinaryCodes:
        """Return the learned codes B of the training items that have ``modality``, pairs first, then the unpaired.

        They may serve as database codes instead of encoding the items again; with few pairs that is a little worse.
        """
        require_choice("modality", modality, MODALITIES)
        problem = self._fitted_problem()
        learned = torch.cat([problem.b_pairs, problem.sides[modality].b])
        return BinaryCodes.from_signs(learned.cpu().numpy())

    def training_rows(self, modality: Literal["image", "text"]) -> Tensor:
        """Return which rows of the training table the codes of :meth:`training_codes` belong to."""
        self._fitted_problem()
        rows = cast(PairedRows, self._rows)
        return torch.cat([rows.pairs, rows.alone(modality)])

    def _fitted_problem(self) -> RelationProblem:
        if self._problem is None:
            raise UsageError("this RREH was not fitted in this process; learned codes are not part of a saved model")
        return self._problem

    def _publish_hash_functions(self) -> None:
        problem = self._fitted_problem()
        for modality, side in problem.sides.items():
            right = side.x_pairs.T @ problem.b_pairs + side.x_alone.T @ side.b
            weights = torch.cholesky_solve(right, side.gram) * self._scales[modality]
            self.publish(modality, weights=weights)

    def _choose_centres(self, modality: str, rows: Tensor, generator: torch.Generator) -> None:
        if len(rows) < self.rbf_anchors:
            raise UsageError(
                f"rbf_anchors={self.rbf_anchors} but only {len(rows)} {modality} items; give at most that many"
            )
        rows = LinearCrossModal.mapped(self, modality, rows)
        chosen = torch.randperm(len(rows), generator=generator)[: self.rbf_anchors].to(rows.device)
        self.get_buffer(f"{modality}_centres").copy_(rows[chosen])
        sample = torch.randperm(len(rows), generator=generator)[:2000].to(rows.device)
        width = torch.cdist(rows[sample], rows[chosen]).mean().clamp_min(1e-12)
        self.get_buffer(f"{modality}_width").copy_(width)
