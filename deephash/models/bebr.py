"""BEBR: Shen et al., "Binary Embedding-based Retrieval at Tencent", KDD 2023 (arXiv 2302.08714).

Float vectors of any origin become L levels of m bits that refine each other; codes are compared by the symmetric
distance (:mod:`deephash.index.symmetric`). Training needs pairs, not labels: two halves of an item, such as a picture
and its caption, or a vector and one of its nearest neighbours (ours, for vectors without partners). Measured results:
docs/methods/bebr.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

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
from deephash.objectives.recurrent import clipped_straight_through_sign, embedding_loss, recurrent_planes

Batch = Mapping[str, Tensor]


class BEBR(ObjectiveHashModel):
    """Recurrent binary embeddings of vectors; one network for both modalities where there are two.

    Args:
        num_bits: m, bits a level.
        backbone: whose features are binarised, usually frozen, or ``features:D`` for vectors at hand.
        text_backbone: of captions that belong to the pictures; as wide as ``backbone``. None learns from neighbours.
        levels: L = u + 1; 2 in the paper. 1 is a plain hash.
        hidden: width of the hidden layers of each block; 0 leaves linear maps.
        depth: hidden layers of each block.
        temperature: of the softmax.
        hardest: negatives of a row.
        num_neighbours: k, of which a partner is drawn where there are no captions.
        binary: False trains the float model of equal capacity instead, the fair bound of what codes can reach; its
            codes are signs.
        optimizer: see :class:`Optimizer`; None takes the paper's SGD.
    """

    training_only: ClassVar[tuple[str, ...]] = ("temperature", "hardest", "num_neighbours")
    default_optimizer: ClassVar[Optimizer] = Optimizer("sgd", 0.08, 1.0, 1e-3, 0.9, True, (6,), 0.1, "epoch")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        text_backbone: Backbone | None = None,
        levels: int = 2,
        hidden: int = 2048,
        depth: int = 1,
        temperature: float = 0.05,
        hardest: int = 5,
        num_neighbours: int = 5,
        binary: bool = True,
        optimizer: Optimizer | None = None,
    ) -> None:
        towers = {"image": backbone} if text_backbone is None else {"image": backbone, "text": text_backbone}
        super().__init__(num_bits, towers, optimizer)
        self.save_hyperparameters()
        self.num_levels = whole(levels, "levels, the planes of bits,", least=1)
        widths = {name: encoder.num_features for name, encoder in self.encoders.items()}
        if len(set(widths.values())) > 1:
            raise UsageError(f"BEBR has one network for both modalities, so towers are equally wide, not {widths}")
        self.temperature, self.hardest, self.num_neighbours, self.binary = temperature, hardest, num_neighbours, binary
        wide = widths["image"]
        self.first = block(wide, hidden, num_bits, depth)
        self.back = nn.ModuleList(block(num_bits, hidden, wide, depth) for _ in range(levels - 1))
        self.residual = nn.ModuleList(block(wide, hidden, num_bits, depth) for _ in range(levels - 1))
        self._neighbours: Neighbours | None = None

    # From input to code ----------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous planes [B, L, m], or [B, m] of one level, of the one modality given."""
        planes, _ = self.planes_and_value(self.features(inputs, self._given(inputs)))
        return planes if self.num_levels > 1 else planes[:, 0]

    def planes_and_value(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return continuous planes [B, L, m] and the value [B, m] that their bits stand for, of features [B, n]."""
        binarize = clipped_straight_through_sign if self.binary else nn.Identity()
        return recurrent_planes(normalize(features, dim=1), self.first, list(self.back), list(self.residual), binarize)

    def vectors(self, inputs: Inputs) -> Tensor:
        """Return the features; of the float model what it made of them, [B, m], for comparisons."""
        features = self.features(inputs, self._given(inputs))
        return features if self.binary else self.planes_and_value(features)[1]

    def _given(self, inputs: Inputs) -> str:
        given = [name for name in self.encoders if name in inputs or f"{name}_features" in inputs]
        if len(given) != 1:
            raise UsageError(f"BEBR encodes one modality at a time, not {given or sorted(inputs)}")
        return given[0]

    # Training --------------------------------------------------------------------------------------

    def prepare(self, table: Tensor) -> None:
        """Keep training features [N, D], of which a batch's ``index`` are rows, and find each row's neighbours."""
        self._neighbours = Neighbours(table, nearest_neighbours(table, self.num_neighbours, similarity="cosine"))

    def on_fit_start(self) -> None:
        """Take the training features from the data module, where partners are neighbours."""
        if "text" in self.encoders or self._neighbours is not None:
            return
        table = training_features(self.trainer)
        if table is None:
            raise UsageError("BEBR draws partners among cached features: use a frozen backbone, or a text backbone")
        self.prepare(table.to(self.device))

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``contrast``: pairs of halves, or of neighbours."""
        image, other, same = self._captioned(batch) if "text" in self.encoders else self._with_neighbours(batch)
        require_rows(len(image), 2, "BEBR")
        require_finite(image, "features")
        with torch.autocast(self.device.type, enabled=False):
            _, value = self.planes_and_value(torch.cat([image, other]).float())
            first, second = value.chunk(2)
            loss = embedding_loss(first, second, same, temperature=self.temperature, hardest=self.hardest)
        return {"contrast": loss}

    def _captioned(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        image, text = self.features(batch, "image"), self.features(batch, "text")
        both = torch.ones(len(image), dtype=torch.bool, device=image.device)
        for name in ("has_image", "has_text"):
            both &= batch[name].bool() if name in batch else both
        index = batch["index"][both]
        return image[both], text[both], index[:, None] == index[None]

    def _with_neighbours(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        if self._neighbours is None:
            raise UsageError("BEBR does not know neighbours yet: train with a Trainer, or call prepare(features)")
        return self.features(batch), *self._neighbours.partners(batch["index"])


def block(wide: int, hidden: int, out: int, depth: int = 1) -> nn.Module:
    """Return ``depth`` times linear, batch norm, ReLU, and a linear layer; a single linear layer where hidden is 0."""
    widths = [wide, *[hidden] * (depth if hidden else 0)]
    layers: list[nn.Module] = []
    for narrow, broad in pairwise(widths):
        layers += [nn.Linear(narrow, broad), nn.BatchNorm1d(broad), nn.ReLU()]
    layers.append(nn.Linear(widths[-1], out))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
