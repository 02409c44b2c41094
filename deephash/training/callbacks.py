"""What happens while a model is trained: exact retrieval figures, saving, and a bar."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from deephash.data.datamodule import HashDataModule
from deephash.errors import UsageError
from deephash.models import HashModel
from deephash.models.objective import batch_hooks
from deephash.progress import open_bar
from deephash.scoring.encoding import mean_average_precision_of
from deephash.training.averaging import averaged_weights

SCORE = "validation/mAP"


class RetrievalEvaluation(Callback):
    """Exact mAP@all of validation queries against the training items, logged as ``validation/mAP``.

    Validation queries are a part of the training items that was held out; test queries are never looked at. A
    cross-modal model also gets ``validation/mAP_i2t`` and ``validation/mAP_t2i``, and ``validation/mAP`` is their mean.

    Args:
        every_n_epochs: how often; None means about ten times a run. The last epoch is always scored, and each one
            where EarlyStopping may make it the last.
        top_k: R; None ranks all.
    """

    def __init__(self, every_n_epochs: int | None = None, top_k: int | None = None) -> None:
        self.every_n_epochs, self.top_k = every_n_epochs, top_k

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score, where it is time."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not is_due(trainer, self.every_n_epochs) or not can_validate(data):
            return
        if not isinstance(pl_module, HashModel):
            raise UsageError(f"RetrievalEvaluation scores hash models, not {type(pl_module).__name__}")
        names = {"query": "validation_query", "database": "validation_database"}
        with averaged_weights(trainer, pl_module):
            scores = mean_average_precision_of(pl_module, data, **names, top_k=self.top_k)
        if not scores:
            return
        for task, score in scores.items():
            if task:
                pl_module.log(f"{SCORE}_{task}", score)
        pl_module.log(SCORE, sum(scores.values()) / len(scores))


def is_due(trainer: Trainer, every_n_epochs: int | None) -> bool:
    """Say whether the epoch that ends is one of every n, or the last."""
    planned = trainer.max_epochs or 0
    every = 1 if stops_early(trainer) else every_n_epochs or max(1, math.ceil(planned / 10))
    epoch = trainer.current_epoch + 1
    return epoch % every == 0 or epoch == planned or trainer.should_stop


def stops_early(trainer: Trainer) -> bool:
    """Say whether any epoch may be the last: Lightning asks EarlyStopping after all other callbacks, too late."""
    return any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)  # type: ignore[attr-defined]


def can_validate(data: HashDataModule | None) -> bool:
    """Say whether there are labelled validation items."""
    return data is not None and "validation_query" in data.splits and data.splits["validation_query"].labels is not None


class ModelSaver(Callback):
    """Writes ``RUN/last`` and, whenever the validation figure rises, ``RUN/model``; and what resuming needs.

    Lightning's own checkpoint callback writes nothing for models without an optimiser, and only Lightning loads its
    files, so models are saved by ``model.save``. Without a validation split the last model is the best one, and where a
    :class:`~deephash.models.BatchHook` says that clean figures choose wrongly.

    Args:
        folder: RUN.
        every_n_epochs: see :class:`RetrievalEvaluation`; both must agree.
    """

    def __init__(self, folder: str | Path, every_n_epochs: int | None = None) -> None:
        self.folder, self.every_n_epochs = Path(folder), every_n_epochs
        self.best_score, self.best_epoch = -math.inf, -1
        self.last_score, self.last_epoch = -math.inf, -1
        self._drawn: dict[str, Any] | None = None  # where the random generators of an interrupted run stood

    @property
    def checkpoint(self) -> Path:
        """The file that a run is resumed from."""
        return self.folder / "last.ckpt"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on drawing where the interrupted run stopped: its next batches are the ones it would have had."""
        if self._drawn is not None:
            torch.set_rng_state(self._drawn["cpu"])
            if len(self._drawn["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(self._drawn["cuda"])
            self._drawn = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what is due."""
        if not isinstance(pl_module, HashModel):
            return
        if trainer.is_global_zero and is_due(trainer, self.every_n_epochs):
            with averaged_weights(trainer, pl_module):
                self._save(trainer, pl_module)
        trainer.save_checkpoint(self.checkpoint)  # by all processes: it waits for them, and the first one writes

    def _save(self, trainer: Trainer, model: HashModel) -> None:
        score = trainer.callback_metrics.get(SCORE)
        model.save(self.folder / "last", portable=False)
        self.last_score, self.last_epoch = -math.inf if score is None else float(score), trainer.current_epoch
        by_score = all(hook.chooses_by_score for hook in batch_hooks(trainer))
        if score is None or not by_score or float(score) > self.best_score:
            self.best_score, self.best_epoch = self.last_score, self.last_epoch
            model.save(self.folder / "model", portable=False)  # made portable once, when the run ends

    def keep(self, model: HashModel) -> None:
        """Save a model that no epoch changed: a frozen one is the best and the last."""
        model.save(self.folder / "last", portable=False)
        model.save(self.folder / "model")

    def scores(self) -> dict[str, Any]:
        """Return epoch and validation figure of the best and of the last model that were kept; epochs count from 0."""
        return {
            "best_epoch": self.best_epoch,
            "best_validation_map": self.best_score,
            "last_epoch": self.last_epoch,
            "last_validation_map": self.last_score,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must remember."""
        drawn = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
        last = {"last_score": self.last_score, "last_epoch": self.last_epoch}
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, **last, "drawn": drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the interrupted run stopped."""
        self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]
        self.last_score, self.last_epoch = state_dict.get("last_score", -math.inf), state_dict.get("last_epoch", -1)
        self._drawn = state_dict.get("drawn")  # deephash 0.1 kept none


class TrainingProgress(Callback):
    """One bar over all steps of a run: rate, time left, loss and the validation figure, on stderr."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        self._bar = open_bar(
            f"{type(pl_module).__name__}, {getattr(pl_module, 'num_bits', '?')} bits",
            total=int(trainer.num_training_batches) * (trainer.max_epochs or 0) or None,
            initial=int(trainer.num_training_batches) * trainer.current_epoch,
            unit="steps",
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figures."""
        wanted = {"train/loss": "loss", "train/objective": "objective", SCORE: "mAP"}
        found = {short: trainer.callback_metrics.get(name) for name, short in wanted.items()}
        shown = {name: f"{float(value):.4f}" for name, value in found.items() if value is not None}
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
