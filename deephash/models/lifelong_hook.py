"""LifelongHashing: the loss of DLCH's later phases beside that of any hash method."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from deephash.errors import UsageError
from deephash.models.lifelong_phase import LifelongPhase, SeenCodes, one_modality
from deephash.models.objective import Batch, BatchHook, ObjectiveHashModel
from deephash.objectives.dlch import Preset
from deephash.objectives.gathering import gather_rows
from deephash.objectives.lifelong_codes import LifelongWeights


class LifelongHashing(BatchHook):
    """``trainer.callbacks``, and ``--compatible dlch``: keep outputs near stored codes, and solve codes for new items.

    What it needs of a method is continuous codes whose signs are the bits, and labels. The inner products of outputs
    with the codes of all seen items, and with those of the new ones, are pulled to K times the similarity of labels;
    after each epoch the codes of the new items are solved discretely, and the run's code book takes them.

    Args:
        weight: of all terms, beside the method's own. They are divided by K^2 first, so that they are of the order of
            the similarity of labels: SGD with a rate that suits the method would not bear K^2.
        alpha: see :class:`~deephash.objectives.lifelong_codes.LifelongWeights`, as the others.
        beta: there.
        sweeps: there.
        shared: there.
        preset: there.
        seed: of the first codes in ``release``.
    """

    phase: LifelongPhase | None = None

    def __init__(
        self,
        weight: float = 1.0,
        alpha: float = 10.0,
        beta: float = 100.0,
        sweeps: int = 1,
        shared: bool = True,
        preset: Preset = "corrected",
        seed: int = 0,
    ) -> None:
        if weight < 0 or sweeps < 1:
            raise UsageError(f"weight is 0 or more and sweeps 1 or more, not {weight} and {sweeps}")
        self.weight, self.seed = weight, seed
        self.weights = LifelongWeights(alpha, beta, sweeps, shared, preset)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the ancestor's codes. Raises UsageError where there are none, or no labels, or no signs to pull."""
        if stage != "fit":
            return
        data, model = trainer.datamodule, pl_module  # type: ignore[attr-defined]
        if not isinstance(model, ObjectiveHashModel) or not model.binarises_at_zero:
            raise UsageError(
                f"the loss of DLCH pulls outputs whose signs are the bits, and {type(model).__name__} has none; take "
                "another method, for example --method orthohash"
            )
        seen = SeenCodes.of(data, tuple(model.encoders))
        if not seen:
            raise UsageError(
                "the loss of DLCH needs codes that an earlier run stored, and there are none: deephash train "
                "--continue-from RUN, where RUN learned an earlier task of the same stream"
            )
        columns = data.splits["train"].columns(without=tuple(model.encoders))
        if "labels" not in columns:
            raise UsageError("the loss of DLCH compares labels, and this data has none; label the items")
        self.phase = LifelongPhase(seen, columns, self.weights, seed=self.seed)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Encode what is learned, so that new codes begin at the network's own."""
        self._phase.begin(pl_module, trainer.datamodule)  # type: ignore[arg-type, attr-defined]

    def extra_losses(self, model: ObjectiveHashModel, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the batch's outputs, of each modality that it holds."""
        terms: dict[str, Tensor] = {}
        for name in self._phase.tables:
            inputs = one_modality(batch, name, model.device)
            if inputs:
                with torch.autocast(model.device.type, enabled=False):
                    outputs = gather_rows(model(inputs).flatten(1).float())
                    own = self._phase.losses(name, outputs, {"index": gather_rows(batch["index"])})
                scale = self.weight / outputs.shape[1] ** 2
                terms |= {f"lifelong_{name}_{kind}": scale * term for kind, term in own.items()}
        return terms

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Solve the codes of the new items at the end of an epoch, before the model is scored and saved."""
        if trainer.is_last_batch:
            for name in self._phase.tables:
                self._phase.solve(name)
            pl_module.learned_codes = self._phase.learned_codes()  # type: ignore[assignment]

    def state_dict(self) -> dict[str, Any]:
        """Return codes and outputs."""
        return {} if self.phase is None else {"phase": self.phase.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        if "phase" in state_dict:
            self._phase.load_state_dict(state_dict["phase"])

    @property
    def _phase(self) -> LifelongPhase:
        assert self.phase is not None, "setup comes first"
        return self.phase
