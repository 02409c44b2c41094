"""What the cross-modal methods share: which modality is hashed, which rows are pairs, and linear hash functions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import AlternatingHashModel, Inputs
from deephash.objectives.signs import sign

MODALITIES = ("image", "text")


def sole_modality(inputs: Inputs) -> str:
    """Return the one modality in ``inputs``.

    A query that met its partner before it was hashed would find itself, and every figure would be too good; so two
    modalities at once are refused here, the only way into ``forward``.

    Raises:
        UsageError: none or both are given.
    """
    given = [name for name in MODALITIES if name in inputs or f"{name}_features" in inputs]
    if len(given) == 1:
        return given[0]
    if given:
        raise UsageError(
            "a cross-modal model hashes one modality at a time, so that a query never meets its partner; "
            "both image and text were given: encode {'image': ...} and {'text': ...} separately"
        )
    raise UsageError(f"a cross-modal model reads image, image_features, text or text_features, not {sorted(inputs)}")


@dataclass(frozen=True)
class PairedRows:
    """Row numbers of a half-paired table: rows with both halves, with only a picture, with only a text."""

    pairs: Tensor
    image: Tensor
    text: Tensor

    @classmethod
    def of(cls, table: Inputs, *, least_pairs: int = 2) -> PairedRows:
        """Read the masks ``has_image`` and ``has_text`` (bool [N]); without them every row is a pair."""
        for name in MODALITIES:
            if f"{name}_features" not in table:
                raise UsageError(f"cross-modal fitting needs image_features and text_features, not {sorted(table)}")
        image, text = table["image_features"], table["text_features"]
        if len(image) != len(text):
            raise UsageError(
                f"the table has {len(image)} picture rows and {len(text)} text rows; a row is an item, so give both "
                "the same length and mark absent halves with has_image and has_text"
            )
        everything = torch.ones(len(image), dtype=torch.bool, device=image.device)
        has_image, has_text = (table.get(f"has_{name}", everything).bool() for name in MODALITIES)
        empty = int((~has_image & ~has_text).sum())
        if empty:
            raise UsageError(f"{empty} rows have neither a picture nor a text; leave them out")
        rows = cls(
            *(mask.nonzero()[:, 0] for mask in (has_image & has_text, has_image & ~has_text, has_text & ~has_image))
        )
        if len(rows.pairs) < least_pairs:
            raise UsageError(
                f"at least {least_pairs} complete pairs tie the modalities together; {len(rows.pairs)} given"
            )
        return rows

    def alone(self, modality: str) -> Tensor:
        """Return the rows that have only ``modality``."""
        return self.image if modality == "image" else self.text


class LinearCrossModal(AlternatingHashModel):
    """Base of methods whose hash functions are linear: v_m(x) = (map(x) - mean_m) W_m, one pair (mean, W) a modality.

    Args:
        num_bits: K.
        image_backbone: the picture encoder, for example ``Backbone("features:128")``.
        text_backbone: the text encoder.
        unit_norm: divide features by their Euclidean norm first (embeddings of CLIP and TF-IDF want it).
    """

    modalities: ClassVar[tuple[str, ...]] = MODALITIES

    def __init__(
        self, num_bits: int, image_backbone: Backbone, text_backbone: Backbone, *, unit_norm: bool = False
    ) -> None:
        super().__init__(num_bits, {"image": image_backbone, "text": text_backbone})
        self.unit_norm = unit_norm
        for modality in MODALITIES:
            self._reserve(modality, self.encoders[modality].num_features)

    def _reserve(self, modality: str, width: int) -> None:
        self.register_buffer(f"{modality}_mean", torch.zeros(width))
        self.register_buffer(f"{modality}_weights", torch.zeros(width, self.num_bits))

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes [B, K] of the one modality given."""
        modality = sole_modality(inputs)
        values: Tensor = self.vectors(inputs) @ self.get_buffer(f"{modality}_weights")
        return values

    def vectors(self, inputs: Inputs) -> Tensor:
        """Return features minus the training mean of their modality, [B, D_m]; W_m acts on these."""
        modality = sole_modality(inputs)
        return self.mapped(modality, self.features(inputs, modality)) - self.get_buffer(f"{modality}_mean")

    def mapped(self, modality: str, features: Tensor) -> Tensor:
        """Return what the hash function is linear in: the features, at unit norm where asked."""
        if not self.unit_norm:
            return features
        unit: Tensor = features / features.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return unit

    def publish(self, modality: str, *, mean: Tensor | None = None, weights: Tensor | None = None) -> None:
        """Copy fitted values into the buffers that are saved."""
        if mean is not None:
            self.get_buffer(f"{modality}_mean").copy_(mean)
        if weights is not None:
            self.get_buffer(f"{modality}_weights").copy_(weights)


def centred_pairs(model: LinearCrossModal, table: Inputs) -> dict[str, Tensor]:
    """Return the complete pairs of each modality in float64, centred; publish the means of all its rows."""
    rows = PairedRows.of(table)
    centred = {}
    for modality in MODALITIES:
        features = model.mapped(modality, table[f"{modality}_features"].double())
        present = torch.cat([rows.pairs, rows.alone(modality)])
        mean = features[present].mean(dim=0)
        model.publish(modality, mean=mean)
        centred[modality] = features[rows.pairs] - mean
    return centred


def principal_directions(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the leading ``count`` eigenvectors [D, count] of rowsᵀrows and their eigenvalues, largest first.

    The smaller of the two Gram matrices is decomposed. Signs are fixed (largest entry positive), so the result does not
    depend on the order of rows or of dimensions. Fewer than ``count`` columns come back where the rank is smaller.
    """
    if len(rows) < rows.shape[1]:
        values, left = torch.linalg.eigh(rows @ rows.T)
        vectors = rows.T @ left
        vectors = vectors / vectors.norm(dim=0).clamp_min(1e-300)
    else:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    kept = values > values[:1].clamp_min(0) * 1e-12
    values, vectors = values[kept], vectors[:, kept]
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return vectors * sign(largest), values


def random_rotation(size: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return a Haar-distributed orthogonal matrix [size, size] in the dtype and on the device of ``like``."""
    gaussian = torch.randn(size, size, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    rotation: Tensor = (q * sign(r.diagonal())).to(like)
    return rotation


def procrustes(product: Tensor) -> Tensor:
    """Return the orthogonal R that maximises tr(Rᵀ product)."""
    left, _, right = torch.linalg.svd(product)
    rotation: Tensor = left @ right
    return rotation


def require_choice(name: str, given: str, valid: Collection[str]) -> None:
    """Raise UsageError with a suggestion when ``given`` is not one of ``valid``."""
    from deephash.errors import did_you_mean

    if given not in valid:
        raise UsageError(f"{name}={given!r} is unknown" + did_you_mean(given, sorted(valid)))
