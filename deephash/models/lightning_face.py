"""What a hash model is to Lightning and to torch: ``model(pictures)``, ``Trainer.predict`` and ``Trainer.test``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import LightningModule
from torch import Tensor

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.metrics import UnanswerableQueries, mean_average_precision

Inputs = Mapping[str, Tensor]
TEST_SCORE = "test/mAP"
WHOLE = ""  # the one code of an item, where there is one; else the modality
ACROSS = {"i2t": ("image", "text"), "t2i": ("text", "image")}
Sides = tuple[dict[str, tuple[BinaryCodes, Any]], dict[str, tuple[BinaryCodes, Any]]]


class LightningFace(LightningModule):
    """A hash model called by torch and by a Trainer."""

    if TYPE_CHECKING:
        encoders: Any

        def encode(self, inputs: Inputs | Tensor) -> BinaryCodes: ...  # noqa: D102

    def __call__(self, inputs: Inputs | Tensor, *more: Any, **named: Any) -> Any:
        """Return ``forward`` of the inputs; a plain tensor is what :meth:`as_inputs` says."""
        return super().__call__(self.as_inputs(inputs), *more, **named)

    def as_inputs(self, inputs: Inputs | Tensor) -> Inputs:
        """Return the mapping that a plain tensor stands for.

        ``[B, 3, H, W]`` are pictures, whole numbers ``[B, T]`` are tokens of texts, and other ``[B, D]`` are features
        of the backbone of the one modality that the model reads.

        Raises:
            UsageError: a tensor of another shape, or of features where the model reads several modalities.
        """
        if not isinstance(inputs, Tensor):
            return inputs
        names = list(self.encoders)
        if inputs.ndim == 4 and "image" in names:
            return {"image": inputs}
        if inputs.ndim == 2 and "text" in names and not inputs.is_floating_point():
            return {"text": inputs}
        if inputs.ndim == 2 and len(names) == 1:
            return {f"{names[0]}_features": inputs}
        raise UsageError(
            f"this {type(self).__name__} reads {', '.join(names)}; a plain tensor is pictures [B, 3, H, W], or "
            f"features [B, D] where there is one modality, not {list(inputs.shape)}. Name what it is: "
            f"model({{{names[0]!r}: tensor}}){'; one picture is picture[None]' if inputs.ndim == 3 else ''}"
        )

    # Trainer.predict -------------------------------------------------------------------------------

    def predict_step(self, batch: Any, batch_idx: int = 0, dataloader_idx: int = 0) -> Any:
        """Return the codes of a batch: BinaryCodes [B], or {modality: BinaryCodes} of a model across modalities.

        Args:
            batch: of a :class:`~deephash.data.HashDataModule`, a mapping, a tensor, or a list that begins with one, as
                torch's own data sets give.
            batch_idx: not used.
            dataloader_idx: not used.
        """
        codes = {name: each for name, (each, _) in self._codes_of(_without_targets(batch)).items()}
        return codes[WHOLE] if codes.keys() == {WHOLE} else codes

    def _codes_of(self, batch: Inputs | Tensor) -> dict[str, tuple[BinaryCodes, Any]]:
        """Return the codes and the rows of a batch that have them, by modality where there are several codes."""
        inputs = self.as_inputs(batch)
        keys = {name: [key for key in (name, f"{name}_features") if key in inputs] for name in self.encoders}
        if set(keys) != {"image", "text"}:
            return {WHOLE: (self.encode({key: inputs[key] for found in keys.values() for key in found}), slice(None))}
        codes: dict[str, tuple[BinaryCodes, Any]] = {}
        for name, found in keys.items():
            if found:
                there = inputs.get(f"has_{name}")
                rows = slice(None) if there is None else np.flatnonzero(there.cpu().numpy())
                codes[name] = (self.encode({key: inputs[key] for key in found})[rows], rows)
        return codes

    # Trainer.test ----------------------------------------------------------------------------------

    def on_test_epoch_start(self) -> None:
        """Begin without codes."""
        self._tested: list[list[tuple[Inputs, dict[str, tuple[BinaryCodes, Any]]]]] = [[], []]

    def test_step(self, batch: Inputs, batch_idx: int = 0, dataloader_idx: int = 0) -> None:
        """Encode a batch of queries (first loader) or of the database (second)."""
        if dataloader_idx > 1 or not isinstance(batch, Mapping) or "labels" not in batch:
            raise UsageError(
                "Trainer.test ranks the items of a second loader for those of a first: dataloaders=[queries, database] "
                "with batches {'image': ..., 'labels': ...}, or datamodule=data with labels"
            )
        self._tested[dataloader_idx].append((batch, self._codes_of(batch)))

    def on_test_epoch_end(self) -> None:
        """Log exact mAP@all as ``test/mAP``; across modalities it is the mean of ``test/mAP_i2t`` and ``_t2i``."""
        asking, answering = (_joined(part) for part in self._tested)
        self._tested = []
        if not asking or not answering:
            raise UsageError("Trainer.test needs two loaders with items: dataloaders=[queries, database]")
        tasks = {WHOLE: (WHOLE, WHOLE)} if WHOLE in asking else ACROSS
        scores = {}
        for task, (query, database) in tasks.items():
            if query in asking and database in answering:
                (codes, labels), (searched, known) = asking[query], answering[database]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UnanswerableQueries)
                    scores[task] = mean_average_precision(codes, searched, query_labels=labels, database_labels=known)
        for task, score in scores.items():
            if task:
                self.log(f"{TEST_SCORE}_{task}", score)
        self.log(TEST_SCORE, sum(scores.values()) / len(scores))


def _without_targets(batch: Any) -> Any:
    return batch[0] if isinstance(batch, Sequence) and len(batch) else batch


def _joined(parts: list[tuple[Any, dict[str, tuple[BinaryCodes, Any]]]]) -> dict[str, tuple[BinaryCodes, Any]]:
    """Return codes and labels of all batches, by modality."""
    names = dict.fromkeys(name for _, codes in parts for name in codes)
    joined = {}
    for name in names:
        found = [(codes[name][0], batch["labels"].cpu().numpy()[codes[name][1]]) for batch, codes in parts]
        codes_of_all, labels = zip(*found, strict=True)
        joined[name] = (BinaryCodes.concatenate(codes_of_all), np.concatenate(labels))
    return joined
