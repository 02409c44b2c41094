"""Inspired by D-MVE-Hash: Yan et al., "Deep Multi-View Enhancement Hashing for Image Retrieval", TPAMI 43(4), 2021.

Several views of a training picture (descriptors, vectors, a second network) improve its code, each as far as it proves
stable; a memory network learns to give the fused code from the picture alone, so that a query needs nothing else. Only
the paper's abstract could be read: this is a design that fits it, not a faithful implementation.
docs/methods/multi_view.md says what is whose.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data.datamodule import HashDataModule
from deephash.data.views import training_views
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.objective import ObjectiveHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.view_encoder import ViewEncoder, head
from deephash.numbers import whole
from deephash.objectives.checks import require_finite, require_rows
from deephash.objectives.gathering import gather_rows
from deephash.objectives.labels import labelled_mask, multi_hot, share_label
from deephash.objectives.multi_view import multi_view_losses
from deephash.objectives.view_fusion import Places, chosen, drawn, fused, pooled, replicated
from deephash.objectives.view_stability import moving, sample_pairs, stability, view_distances

logger = logging.getLogger(__name__)

Batch = Mapping[str, Tensor]
Fusion = Literal["replicate", "viewcode", "probpool"]
USUAL_VIEWS = {"rgb": 64, "hsv": 64, "hog": 512}


class MultiViewEnhancementHash(ObjectiveHashModel):
    """Multi-view hashing whose codes need only the picture once trained; inspired by D-MVE-Hash.

    Args:
        num_bits: K = K_c + K_f.
        backbone: of the picture, see :class:`Backbone`.
        views: name -> width, at least two; see :func:`deephash.data.views.training_views` for names. None takes the RGB
            and HSV histograms and the oriented gradients.
        view_bits: K_f, bits that come from views; None takes half of K, 0 leaves the image branch alone.
        view_width: K_v, bits of each view's own code; None takes K_f, of fusion ``replicate`` an equal share of it.
        fusion: ``replicate``, ``viewcode`` or ``probpool``, see :mod:`deephash.objectives.view_fusion`.
        hidden: width of the view encoders.
        memory_hidden: width of the memory network.
        warm_up: epochs during which all views count alike.
        settle: share of the epochs after which weights and places of bits stay, so that the memory can catch up (ours).
        num_pairs: P, pairs of training items by which views are weighed.
        view_weight: alpha, of the views' own losses.
        quantization_weight: beta.
        memory_weight: gamma, of the memory's distance from the fused code.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-4.
    """

    supervised: ClassVar[bool] = True
    couples_rows: ClassVar[bool] = True
    training_only: ClassVar[tuple[str, ...]] = (
        "warm_up", "settle", "num_pairs", "view_weight", "quantization_weight", "memory_weight",
    )  # fmt: skip
    view_weights: Tensor
    view_relation: Tensor
    view_usable: Tensor
    bit_view: Tensor
    bit_column: Tensor

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        views: Mapping[str, int] | None = None,
        view_bits: int | None = None,
        view_width: int | None = None,
        fusion: Fusion = "replicate",
        hidden: int = 512,
        memory_hidden: int = 1024,
        warm_up: int = 5,
        settle: float = 0.5,
        num_pairs: int = 20_000,
        view_weight: float = 0.5,
        quantization_weight: float = 0.1,
        memory_weight: float = 1.0,
        optimizer: Optimizer | None = None,
    ) -> None:
        super().__init__(num_bits, {"image": backbone}, optimizer)
        self.save_hyperparameters()
        self.views = checked_views(views)
        self.view_bits = checked_view_bits(num_bits, view_bits)
        self.fusion, self.view_width = fusion, checked_width(fusion, view_width, self.view_bits, len(self.views))
        self.warm_up, self.settle = whole(warm_up, "warm_up, epochs,", least=0), checked_share(settle)
        self.num_pairs = whole(num_pairs, "num_pairs, by which views are weighed,", least=2)
        self.weights = {
            "view_weight": view_weight, "quantization_weight": quantization_weight, "memory_weight": memory_weight
        }  # fmt: skip
        hidden, memory_hidden = whole(hidden, "hidden", least=1), whole(memory_hidden, "memory_hidden", least=1)
        wide = int(self.encoders["image"].num_features)
        self.standard = nn.BatchNorm1d(wide, affine=False)  # features come on any scale
        self.image_head = nn.Sequential(nn.Linear(wide, num_bits - self.view_bits), nn.Tanh())
        self.recall = head(wide, memory_hidden, num_bits)
        self.view_encoders = nn.ModuleList(ViewEncoder(d, hidden, self.view_width) for d in self.views.values())
        self._reserve(len(self.views))
        self._table: list[Tensor] | None = None
        self._steps = 0

    def _reserve(self, count: int) -> None:
        equal = torch.full((count,), 1 / count)
        view, column = replicated(equal, self.view_bits, self.view_width)
        self.register_buffer("view_weights", equal)
        self.register_buffer("view_relation", torch.eye(count))
        self.register_buffer("view_usable", torch.ones(count, dtype=torch.bool))
        self.register_buffer("bit_view", view)
        self.register_buffer("bit_column", column)

    # From input to code ----------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes [B, K] by the memory network, of the picture alone."""
        codes: Tensor = self.recall(self.standard(self.features(inputs)))
        return codes

    def view_codes(self, views: list[Tensor]) -> Tensor:
        """Return the views' own codes, entries in -1..1 [B, M, K_v], of views [B, d_m] in the model's order."""
        return torch.stack([encoder(view) for encoder, view in zip(self.view_encoders, views)], dim=1)

    def fused(self, inputs: Inputs) -> Tensor:
        """Return fused codes [B, K] of a picture and its views, ``<view>_features`` [B, d_m] each.

        Bits of a view that is not given, or is NaN, are those that the memory network expects.
        """
        features = self.features(inputs)
        expected: Tensor = self.recall(self.standard(features))
        blank = {name: features.new_full((len(features), d), float("nan")) for name, d in self.views.items()}
        views = [inputs.get(f"{name}_features", blank[name]) for name in self.views]
        made = fused(self._image_code(features), self.view_codes(views), self.bit_view, self.bit_column)
        here = torch.stack([view.isfinite().all(dim=1) for view in views], dim=1)[:, self.bit_view]
        known = torch.cat([here.new_ones(len(made), self.num_bits - self.view_bits), here], dim=1)
        return torch.where(known, made, expected)

    def encode_fused(self, inputs: Inputs) -> BinaryCodes:
        """Return packed fused codes of one batch; they compare with those of :meth:`encode`."""
        with self.evaluating(), torch.inference_mode():
            on_device = {key: value.to(self.device) for key, value in inputs.items()}
            return BinaryCodes.from_bits((self.fused(on_device) >= 0).cpu().numpy())

    def _image_code(self, features: Tensor) -> Tensor:
        codes: Tensor = self.image_head(self.standard(features))
        return codes

    # Views of the training items -------------------------------------------------------------------

    def prepare(self, views: Mapping[str, Tensor], labels: Tensor | None) -> None:
        """Keep the training views [N, d_m], of which a batch's ``index`` are rows; a Trainer does this by itself.

        A view that is constant, or not there for every row, gets weight 0 and a warning.

        Args:
            views: by name.
            labels: class numbers [N] or multi-hot [N, C].

        Raises:
            UsageError: a view is missing or of another width, there are no labels, or no view is of use.
        """
        if labels is None:
            raise UsageError(f"{type(self).__name__} is supervised, and the training items have no labels")
        wrong = [name for name, d in self.views.items() if name not in views or views[name].shape != (len(labels), d)]
        if wrong:
            shown = list(views[wrong[0]].shape) if wrong[0] in views else "nothing"
            raise UsageError(f"view {wrong[0]!r} is [{len(labels)}, {self.views[wrong[0]]}], and {shown} was given")
        self._table = [views[name].float().to(self.device) for name in self.views]
        for place, (name, table) in enumerate(zip(self.views, self._table)):
            reason = self.view_encoders[place].standardise_by(table)  # type: ignore[operator]
            self.view_usable[place] = reason is None
            if reason is not None:
                logger.warning("view %s has weight 0: %s", name, reason)
        if not bool(self.view_usable.any()):
            raise UsageError(f"none of the views {', '.join(self.views)} is of use: all are constant or hold NaN")
        self._labels = labels.to(self.device)
        self._pairs = self._labelled_pairs()
        if bool((self.view_weights[~self.view_usable] > 0).any()):  # else they are of this view set, or resumed
            self._place(self.view_usable.float() / self.view_usable.sum(), None)

    def _labelled_pairs(self) -> Tensor:
        rows = labelled_mask(self._labels).nonzero()[:, 0]
        return rows[sample_pairs(len(rows), self.num_pairs).to(rows.device)]

    def on_fit_start(self) -> None:
        """Take the training views from the data module."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, HashDataModule):
            return
        labels = data.splits["train"].labels
        self.prepare(training_views(data, self.views), None if labels is None else torch.as_tensor(labels))

    # Weights ---------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Weigh the views anew, after the warm-up and until the bits settle."""
        epochs = self.trainer.max_epochs or -1
        if self.current_epoch >= self.warm_up and (epochs < 0 or self.current_epoch < self.settle * epochs):
            self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Weigh the views by their codes of the training items, and place the bits by the weights.

        Under DDP the buffers of the first process reach the others before the next step.
        """
        with self.evaluating():
            codes = torch.cat([self.view_codes(list(rows)) for rows in zip(*(t.split(4096) for t in self._known()))])
        first, second = (self._labels[self._pairs[:, side]] for side in (0, 1))
        similar = first == second if first.ndim == 1 else (first * second).sum(dim=1) > 0
        found = stability(view_distances(codes >= 0, self._pairs), similar, usable=self.view_usable)
        self.view_relation.copy_(found.relation)
        self._place(moving(self.view_weights, found.weights.to(self.view_weights)), codes)

    def _place(self, weights: Tensor, codes: Tensor | None) -> None:
        self.view_weights.copy_(weights)
        if self.fusion == "viewcode" and codes is not None:
            rows = labelled_mask(self._labels)
            labels = self._labels[rows]
            classes = multi_hot(labels, int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1])
            places = chosen(weights, self.view_bits, codes[rows], classes)
        elif self.fusion == "probpool":
            places = pooled(weights, self.view_bits)
        else:
            places = replicated(weights, self.view_bits, self.view_width)
        self.bit_view.copy_(places[0])
        self.bit_column.copy_(places[1])

    def _known(self) -> list[Tensor]:
        if self._table is None:
            raise UsageError(
                f"{type(self).__name__} does not know the views yet: train with a data module of deephash.data, or "
                "call prepare(views, labels)"
            )
        return self._table

    def view_facts(self) -> list[dict[str, Any]]:
        """Return of each view its name, width, weight, bits in the fused code, how many of them differ, and relations.

        Replicated bits carry nothing new: the effective length of a code is that of its ``distinct`` bits.
        """
        return [
            {
                "view": name,
                "width": width,
                "weight": float(self.view_weights[place]),
                "bits": int((self.bit_view == place).sum()),
                "distinct": int(self.bit_column[self.bit_view == place].unique().numel()),
                "relation": dict(zip(self.views, self.view_relation[place].tolist())),
            }
            for place, (name, width) in enumerate(self.views.items())
        ]

    # Losses ----------------------------------------------------------------------------------------

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``pairs``, ``views``, ``quantization``, ``memory`` and ``memory_pairs``."""
        if "labels" not in batch:
            raise UsageError(f"{type(self).__name__} is supervised: batches need 'labels', not only {sorted(batch)}")
        views = [table[batch["index"]] for table in self._known()]
        features = self.features(batch)
        require_rows(len(features), 2, type(self).__name__)
        require_finite(features, "features")
        parts = (self._image_code(features), self.view_codes(views), self.recall(self.standard(features)))
        with torch.autocast(self.device.type, enabled=False):
            image, codes, remembered = (gather_rows(part.float()) for part in parts)
            return self._losses(image, codes, remembered, gather_rows(batch["labels"]))

    def _losses(self, image: Tensor, codes: Tensor, remembered: Tensor, labels: Tensor) -> dict[str, Tensor]:
        rows = labelled_mask(labels)
        if not bool(rows.any()):
            return {"unlabelled_batch": 0 * (image.sum() + codes.sum() + remembered.sum())}
        target = fused(image[rows], codes[rows], *self._step_places())
        similar = share_label(labels[rows], labels[rows])
        return multi_view_losses(target, codes[rows], remembered[rows], self.view_weights, similar, **self.weights)

    def _step_places(self) -> Places:
        if self.fusion != "probpool" or not self.training or not self.view_bits:
            return self.bit_view, self.bit_column
        self._steps += 1  # the seed, so that all processes draw alike
        draw = torch.Generator().manual_seed(self._steps)
        return drawn(self.view_weights, self.view_relation, self.view_bits, draw)


def checked_views(views: Mapping[str, int] | None) -> dict[str, int]:
    """Return name -> width of at least two views. Raises UsageError."""
    given = dict(USUAL_VIEWS if views is None else views)
    if len(given) < 2:
        raise UsageError(
            f"multi-view hashing needs at least two views, not {', '.join(given) or 'none'}; "
            "for instance views: {rgb: 64, hog: 512}"
        )
    return {str(name): whole(width, f"the width of view {name!r}", least=1) for name, width in given.items()}


def checked_view_bits(num_bits: int, view_bits: int | None) -> int:
    """Return K_f, half of K where nothing is said. Raises UsageError outside 0..K - 1."""
    if view_bits is None:
        return num_bits // 2
    if whole(view_bits, "view_bits, those that come from views,", least=0) >= num_bits:
        raise UsageError(
            f"view_bits is at most {num_bits - 1} (num_bits - 1: the image needs one too), not {view_bits}"
        )
    return view_bits


def checked_share(settle: float) -> float:
    """Return ``settle``. Raises UsageError outside 0..1."""
    if not 0 <= settle <= 1:
        raise UsageError(f"settle is the share of the epochs after which bits stay, 0 to 1, not {settle}")
    return settle


def checked_width(fusion: str, view_width: int | None, view_bits: int, count: int) -> int:
    """Return K_v. Raises UsageError where the fusion needs more bits of a view than it would have."""
    if fusion not in ("replicate", "viewcode", "probpool"):
        raise UsageError(f"fusion is replicate, viewcode or probpool, not {fusion!r}")
    if view_width is None:
        return max(1, -(-view_bits // count) if fusion == "replicate" else view_bits)
    if fusion != "replicate" and view_width < view_bits:
        raise UsageError(
            f"fusion {fusion} may take all {view_bits} view_bits of one view, so view_width is at least {view_bits}, "
            f"not {view_width}; or take fusion: replicate"
        )
    return whole(view_width, "view_width, the bits of each view's code,", least=1)
