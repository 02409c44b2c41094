"""Where figures of a run go beside ``metrics.csv``: TensorBoard, Weights & Biases, and any logger of Lightning."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

TEST_SCORE = "test/mAP"


def named_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Return loggers that write into folders of the run.

    Args:
        names: ``tensorboard``, ``wandb``.
        folder: RUN; the loggers write RUN/tensorboard and RUN/wandb. Weights & Biases stays offline (``wandb sync``
            sends it later) unless the environment says ``WANDB_MODE=online``.
    """
    made: list[Logger] = []
    for name in names:
        if name == "tensorboard":
            made.append(TensorBoardLogger(str(folder), name="tensorboard", version="", default_hp_metric=False))
        if name == "wandb":
            offline = os.environ.get("WANDB_MODE", "offline") != "online"
            made.append(WandbLogger(name=folder.name, project="deephash", save_dir=str(folder), offline=offline))
    return made


class LoggedConfiguration(Callback):
    """Gives every logger the resolved configuration, where Lightning would give it the arguments of the model alone.

    Args:
        configuration: plain values, as in ``config.yaml``.
    """

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self.configuration = dict(configuration)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning's own record back."""
        pl_module._log_hyperparams = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the configuration."""
        for logger in trainer.loggers:
            logger.log_hyperparams(self.configuration)
            logger.save()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let an epoch of few steps be logged at least once."""
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, trainer.num_training_batches))  # type: ignore[attr-defined]


def log_test_scores(trainer: Trainer, scores: Mapping[str, float]) -> None:
    """Give every logger ``test/mAP`` of the model that was chosen: the mean, and each direction where there are two."""
    if not scores:
        return
    figures = {f"{TEST_SCORE}_{task}": score for task, score in scores.items() if task}
    figures[TEST_SCORE] = sum(scores.values()) / len(scores)
    for logger in trainer.loggers:
        logger.log_metrics(figures, step=trainer.global_step)
        logger.save()
        logger.finalize("success")
