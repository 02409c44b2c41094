"""ITQ on two aligned embeddings, for example CLIP's two towers; no training beyond principal components.

Gong and Lazebnik, Iterative Quantization, CVPR 2011, used across modalities as ``docs/methods/cross_modal_itq.md``
tells: both towers live in one space but at different places, so each modality is centred by its own mean, and then one
projection and one rotation serve both. With one joint mean the first bits would only say "picture" or "text".
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.cross_modal import (
    MODALITIES,
    LinearCrossModal,
    principal_directions,
    procrustes,
    random_rotation,
)
from deephash.objectives.signs import sign


class CrossModalITQ(LinearCrossModal):
    """One ITQ projection for two modalities that already share a space.

    The rows of a training table need not be pairs. Where the table has pictures only, as when a folder is indexed, the
    mean of the texts is measured beforehand and given to :meth:`fit` as ``text_features`` of any number of phrases.

    Args:
        num_bits: K, at most the width D of the embedding.
        image_backbone: the picture encoder.
        text_backbone: the text encoder, of the same width.
        unit_norm: divide embeddings by their norm first, as CLIP's cosine does.
        rotate: learn the rotation; False leaves principal components (signs of a joint PCA).
        project_texts: let texts shape the principal components and the rotation too, not only their mean.
        seed: of the first rotation.
    """

    training_free: ClassVar[str | None] = "clip"
    training_only: ClassVar[tuple[str, ...]] = ("seed",)

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        *,
        unit_norm: bool = True,
        rotate: bool = True,
        project_texts: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, unit_norm=unit_norm)
        self.save_hyperparameters()
        widths = [self.encoders[name].num_features for name in MODALITIES]
        if widths[0] != widths[1]:
            raise UsageError(
                f"CrossModalITQ needs two towers of one space; pictures have {widths[0]} features and texts "
                f"{widths[1]}. CCAHash, CMFH or RREH learn to join different features from pairs"
            )
        if num_bits > widths[0]:
            raise UsageError(f"ITQ finds at most as many bits as features: {widths[0]} here, not {num_bits}")
        self.rotate, self.project_texts, self.seed = rotate, project_texts, seed
        self._projected: Tensor | None = None
        self._directions: Tensor | None = None
        self._rotation: Tensor | None = None

    @classmethod
    def on_network(cls, network: str, num_bits: int, *, seed: int = 0, **backbone: Any) -> Self:
        """Build the model over both towers of a CLIP such as ``ViT-B-32/laion2b_s34b_b79k``."""
        pictures, texts = (Backbone(f"{tower}:{network}", **backbone) for tower in ("clip", "clip-text"))
        return cls(num_bits, pictures, texts, project_texts=False, seed=seed)

    def start(self, features: Inputs) -> None:
        """Centre each modality by its own mean and take joint principal components."""
        generator = torch.Generator().manual_seed(self.seed)
        centred = []
        for modality in MODALITIES:
            rows = self.mapped(modality, _present(features, modality).double())
            mean = rows.mean(dim=0)
            self.publish(modality, mean=mean)
            if modality == "image" or self.project_texts:
                centred.append(rows - mean)
        stacked = torch.cat(centred)
        self._directions = complete_basis(principal_directions(stacked, self.num_bits)[0], self.num_bits, generator)
        self._projected = stacked @ self._directions
        identity = torch.eye(self.num_bits).to(stacked)
        self._rotation = random_rotation(self.num_bits, generator, stacked) if self.rotate else identity
        self._publish()

    def sweep(self, features: Inputs) -> Tensor:
        """Assign codes, rotate by Procrustes, and return |sgn(V R) - V R|^2 / N, which never rises."""
        if self._projected is None or self._rotation is None:
            raise UsageError("call fit, which starts before it sweeps")
        if self.rotate:
            codes = sign(self._projected @ self._rotation)
            self._rotation = procrustes(self._projected.T @ codes)
            self._publish()
        rotated = self._projected @ self._rotation
        return (sign(rotated) - rotated).square().sum() / len(rotated)

    def _publish(self) -> None:
        directions, rotation = self._directions, self._rotation
        if directions is None or rotation is None:
            raise UsageError("call fit, which starts before it sweeps")
        for modality in MODALITIES:
            self.publish(modality, weights=directions @ rotation)


def complete_basis(directions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Fill up orthonormal ``directions`` [D, r] to [D, count] with random directions orthogonal to them.

    A small collection has fewer principal components than bits; the remaining bits then cut the space at random, which
    still serves pictures added later, instead of being constant.
    """
    width, rank = directions.shape
    if rank >= count:
        return directions
    extra = torch.randn(width, count - rank, generator=generator, dtype=torch.float64).to(directions)
    for _ in range(2):  # twice is enough for orthogonality to machine precision
        extra = extra - directions @ (directions.T @ extra)
        extra, _ = torch.linalg.qr(extra)
    return torch.cat([directions, extra], dim=1)


def _present(features: Inputs, modality: str) -> Tensor:
    key = f"{modality}_features"
    if key not in features or not len(features[key]):
        raise UsageError(
            f"CrossModalITQ centres each modality by its own mean and so needs {key}; given: {sorted(features)}"
        )
    mask = features.get(f"has_{modality}")
    return features[key] if mask is None else features[key][mask.bool()]
