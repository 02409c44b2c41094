"""HeadHashModel: backbone -> head -> continuous codes -> losses; what every gradient method here has in common.

A method gives a ``head`` and :meth:`HeadHashModel.code_losses`; it gets nested codes, DDP gathering, fp32 losses under
mixed precision and checked inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.objective import ObjectiveHashModel
from deephash.models.optimizers import Optimizer
from deephash.objectives.checks import require_finite, require_rows
from deephash.objectives.gathering import gather_rows, mean_over_processes
from deephash.objectives.labels import labelled_mask
from deephash.objectives.nested import Nested, NestedLengths, cascade_distillation, dominance_weights

Batch = Mapping[str, Tensor]


class HeadHashModel(ObjectiveHashModel):
    """A gradient method with one picture encoder and one head.

    Attributes:
        num_views: how many views of each picture :meth:`views` returns; codes of all views are stacked, [V * B, K].
        couples_rows: the loss looks at pairs of rows, so that under DDP it is computed on the rows of all processes.
        least_rows: smallest training batch of a process.
        supervised: batches must hold ``labels``; rows without one are left out and counted in ``unlabelled_rows``.
        num_classes: C, where the method has classes; labels are checked against it.
        shared_terms: losses on the bits themselves; nested codes count them once, on the longest length.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`.
        nested: which prefixes are to be good codes too, as :class:`Nested` or as a bare list of lengths; None trains
            the whole length only.
    """

    num_views: int = 1
    couples_rows: ClassVar[bool] = False
    least_rows: int = 1
    supervised: ClassVar[bool] = True
    num_classes: int | None = None
    shared_terms: ClassVar[tuple[str, ...]] = ("quantization",)
    head: nn.Module

    def __init__(
        self, num_bits: int, backbone: Backbone, optimizer: Optimizer | None = None, nested: NestedLengths | None = None
    ) -> None:
        super().__init__(num_bits, {"image": backbone}, optimizer)
        self.nested = nested if nested is None or isinstance(nested, Nested) else Nested(tuple(nested))
        if self.nested is not None and self.nested.lengths[-1] != num_bits:
            raise UsageError(f"the longest nested length is num_bits = {num_bits}, not {self.nested.lengths[-1]}")
        self.unlabelled_rows = 0

    @property
    def num_features(self) -> int:
        """D, the width of the backbone's features."""
        return int(self.encoders["image"].num_features)

    @property
    def code_lengths(self) -> tuple[int, ...]:
        """The prefixes that are good codes, the longest last."""
        return self.nested.lengths if self.nested else (self.num_bits,)

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments; a bare list of lengths as the :class:`Nested` it stands for."""
        args = super().init_args()
        if self.nested is not None:
            args["nested"] = asdict(self.nested) | {"lengths": list(self.nested.lengths)}
        return args

    # What a method says ----------------------------------------------------------------------------

    @abstractmethod
    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms for ``codes`` of any length m <= K (a prefix, where codes are nested).

        Args:
            codes: v [V * B, m], float32.
            features: x [V * B, D], float32, or [V * B, ...] where the backbone gives maps.
            batch: ``labels`` (of supervised methods: every row labelled) and ``index``; rows of all processes where
                rows are coupled.
        """

    def views(self, batch: Batch) -> Tensor:
        """Return features [V * B, D] of the views to train on."""
        return self.features(batch)

    def observe(self, codes: Tensor, batch: Batch) -> None:
        """See each training batch once before its losses are computed; a memory is filled here."""

    # What they share -------------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes v [B, K]."""
        codes: Tensor = self.head(self.features(inputs))
        return codes

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the method's terms; of a nested model their weighted sums over lengths and ``distillation``."""
        features = self.views(batch)
        require_rows(len(features) // self.num_views, self.least_rows, type(self).__name__)
        require_finite(features, "features")
        codes = self.head(features)
        with torch.autocast(self.device.type, enabled=False):  # cosines, softmax and arccos need float32
            return self._losses(codes.float(), features.float(), batch)

    def _losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        if self.couples_rows:
            codes, features = self._gathered_views(codes), self._gathered_views(features)
            batch = {key: gather_rows(batch[key]) for key in ("labels", "index") if key in batch}
        require_finite(codes, "continuous codes")
        if self.supervised:
            codes, features, batch = self._labelled_rows(codes, features, batch)
            if not len(codes):
                return {"unlabelled_batch": codes.sum()}  # zero: nothing to learn from, but DDP needs a backward pass
        self.observe(codes, batch)
        if self.nested is None:
            return self.code_losses(codes, features, batch)
        return self._nested_losses(codes, features, batch, self.nested)

    def _gathered_views(self, rows: Tensor) -> Tensor:
        return torch.cat([gather_rows(view) for view in rows.chunk(self.num_views)])

    def _labelled_rows(self, codes: Tensor, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Batch]:
        if "labels" not in batch:
            raise UsageError(f"{type(self).__name__} is supervised: batches need 'labels', not only {sorted(batch)}")
        mask = labelled_mask(batch["labels"], self.num_classes)
        if mask.all():
            return codes, features, batch
        self.unlabelled_rows += int((~mask).sum())
        kept = {key: batch[key][mask] for key in ("labels", "index") if key in batch}
        return codes[mask], features[mask], kept

    # Nested codes ----------------------------------------------------------------------------------

    def _nested_losses(self, codes: Tensor, features: Tensor, batch: Batch, nested: Nested) -> dict[str, Tensor]:
        terms = [self.code_losses(codes[:, :length], features, batch) for length in nested.lengths]
        own = [self._unshared_sum(each) for each in terms]
        weights = torch.ones(len(own), device=codes.device)
        if nested.weighting != "equal" and len(own) > 1:
            gradients = self._hash_layer_gradients(own, nested.lengths)
            weights = dominance_weights(gradients, as_released=nested.weighting == "release")
        losses = {f"loss_{length}": w * loss for length, w, loss in zip(nested.lengths, weights, own)}
        losses |= {name: terms[-1][name] for name in self.shared_terms if name in terms[-1]}
        return losses | self._distillation(codes, nested)

    def _unshared_sum(self, terms: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([value for name, value in terms.items() if name not in self.shared_terms]).sum()

    def _hash_layer_gradients(self, losses: list[Tensor], lengths: tuple[int, ...]) -> list[Tensor]:
        weight = self._hash_layer().weight
        gradients = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in losses]
        return [mean_over_processes(each[:length]) for each, length in zip(gradients, lengths)]

    def _hash_layer(self) -> nn.Linear:
        layers = [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)]
        return next(layer for layer in reversed(layers) if layer.out_features == self.num_bits)

    def _distillation(self, codes: Tensor, nested: Nested) -> dict[str, Tensor]:
        if nested.distillation == 0 or len(nested.lengths) < 2:
            return {}
        neighbours = zip(nested.lengths, nested.lengths[1:])
        parts = [cascade_distillation(codes[:, :short], codes[:, :long]) for short, long in neighbours]
        return {"distillation": nested.distillation * torch.stack(parts).sum()}
