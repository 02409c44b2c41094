"""fit: model + data -> a run folder; the same for the command line, the demo and Python."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer.states import TrainerStatus

from deephash.collection.bit_certainty import save_certainty
from deephash.collection.pair_counts import save_pair_counts
from deephash.data.datamodule import HashDataModule
from deephash.data.stream_task import StreamTask
from deephash.errors import UsageError
from deephash.foreign.trust import trust
from deephash.models import BatchHook, HashModel, ObjectiveHashModel, load_model
from deephash.models.loading import require_loadable
from deephash.models.objective import batch_hooks
from deephash.models.warm_start import WarmStart
from deephash.scoring.bit_certainty import certainty_of_bits
from deephash.scoring.known_pairs import ValidationCodes, known_pairs
from deephash.training.callbacks import ModelSaver, RetrievalEvaluation, TrainingProgress, can_validate
from deephash.training.inheritance import NOTHING, Inheritance
from deephash.training.lineage import (
    Ancestor,
    find_codes_again,
    store_new_codes,
    take_over_codes,
)
from deephash.training.portability import make_run_portable
from deephash.training.run_folder import RunFolder

# What a Trainer does here unless told otherwise: the run folder, its bar and its models are deephash's own.
TRAINER_DEFAULTS: dict[str, Any] = {
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; the finished epochs are kept in the run folder."""


class MetricsFile(CSVLogger):
    """``metrics.csv`` alone: arguments are in ``run.json`` and ``config.yaml``, as plain values."""

    def log_hyperparams(self, params: Any = None) -> None:
        """Write nothing."""

    def save(self) -> None:
        """Write the metrics, and no file of arguments."""
        super().save()
        (Path(self.log_dir) / "hparams.yaml").unlink(missing_ok=True)


def make_trainer(
    folder: str | Path, *, max_epochs: int, evaluate_every: int | None = None, **trainer_options: Any
) -> Trainer:
    """Return a Trainer that logs to ``folder/metrics.csv``, scores the validation split and saves best and last model.

    Args:
        folder: the run folder.
        max_epochs: epochs; sweeps for models fitted in closed form.
        evaluate_every: epochs between two evaluations; None for about ten a run.
        trainer_options: handed to Lightning's Trainer; it refuses unknown ones.
    """
    options: dict[str, Any] = TRAINER_DEFAULTS | {"logger": MetricsFile(str(folder), name="", version="")}
    options |= trainer_options
    options["callbacks"] = run_callbacks(folder, evaluate_every, options.get("callbacks"))
    with quiet_lightning():
        return Trainer(max_epochs=max_epochs, **options)


def run_callbacks(
    folder: str | Path, evaluate_every: int | None = None, others: Callback | Iterable[Callback] | None = None
) -> list[Callback]:
    """Return ``others``, evaluation, saving and the bar: an epoch that a callback ends the run with is still scored."""
    given = [others] if isinstance(others, Callback) else others or ()
    return [*given, RetrievalEvaluation(evaluate_every), ModelSaver(folder, evaluate_every), TrainingProgress()]


def fit(
    trainer: Trainer,
    model: HashModel,
    data: HashDataModule,
    run: RunFolder,
    *,
    resume: bool = False,
    inheritance: Inheritance = NOTHING,
) -> float:
    """Train ``model`` on ``data`` and return the seconds it took, caching of features included.

    Args:
        trainer: from :func:`make_trainer`, or any Trainer with a ModelSaver. Every
            :class:`~deephash.models.BatchHook` among its callbacks sees the batches before the losses.
        model: the model.
        data: the data.
        run: where everything is kept.
        resume: go on from ``last.ckpt``.
        inheritance: stored codes and class targets that the run takes over from runs before it.

    Raises:
        UsageError: model and data do not fit together.
        TrainingInterrupted: Ctrl-C; the message says how to go on.
    """
    began = time.monotonic()
    data.setup()
    check_fit(model, data)
    inheritance.require_fit(model, data)
    hooks = _checked_hooks(model, trainer)
    run.begin(model, data)
    _take_codes_over(run, data, inheritance.ancestor, resume=resume)
    if hooks:
        run.update(hooks=[type(hook).__name__ for hook in hooks])
    _note_what_it_learns_from(trainer, model, data)
    saver = next(callback for callback in trainer.callbacks if isinstance(callback, ModelSaver))  # type: ignore[attr-defined]
    if resume:
        _start_from_itself(trainer, saver.folder / "last")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WarmStart):
            callback.begin(model)  # before features are cached
    on_interrupt = signal.getsignal(signal.SIGINT)  # Lightning ignores Ctrl-C for good once it saw one
    try:
        with quiet_lightning():
            trainer.fit(model, datamodule=data, ckpt_path=str(saver.checkpoint) if resume else None, weights_only=True)
    except (SystemExit, KeyboardInterrupt):
        if trainer.state.status != TrainerStatus.INTERRUPTED and not saver.checkpoint.exists():
            raise
        run.finish(status="interrupted", epochs=trainer.current_epoch)
        raise TrainingInterrupted(interrupted_message(run, saver)) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_interrupt)
    model.eval()
    if trainer.max_epochs == 0:
        saver.keep(model)
    seconds = time.monotonic() - began
    run.write_splits(data)  # once more: unreadable pictures were found on the way
    if isinstance(data, StreamTask) and trainer.is_global_zero:
        run.update(codes=len(store_new_codes(run.path, data)))
    if trainer.is_global_zero and (saver.folder / "model").is_dir():
        _complete(saver.folder / "model", model, data)
    end = saver.scores() | {"seconds": round(seconds, 2), "epochs": trainer.current_epoch, "notes": data.notes}
    run.finish(status="finished", **end)
    return seconds


def _note_what_it_learns_from(trainer: Trainer, model: HashModel, data: HashDataModule) -> None:
    """Let the model remember its items; the known pairs and certainty of one that it begins with are of other codes."""
    if trainer.max_epochs != 0:
        model.seen = data.seen_items() if model.seen is None else model.seen | data.seen_items()
    model.known_pairs, model.certainty = (), {}


def _complete(folder: Path, model: HashModel, data: HashDataModule) -> None:
    """Give the run's model its known pairs and its portable encoder; once, not for each epoch's."""
    if can_validate(data):
        _keep_known_pairs(folder, model, data)
    make_run_portable(folder, data)


def _keep_known_pairs(folder: Path, model: HashModel, data: HashDataModule) -> None:
    """Write into the run's model how far apart known pairs of its validation part lie, and how sure its bits are."""
    best = load_model(folder).to(model.device)
    codes = ValidationCodes(best, data)
    if tables := known_pairs(best, data, codes):
        save_pair_counts(folder, tables)
    if sure := certainty_of_bits(best, data, codes):
        save_certainty(folder, sure)
    data.attach(model)


def _take_codes_over(run: RunFolder, data: HashDataModule, ancestor: Ancestor | None, *, resume: bool) -> None:
    if not isinstance(data, StreamTask):
        return
    if resume:
        find_codes_again(run.path, data)
    else:
        run.update(**take_over_codes(run.path, data, ancestor))


def _start_from_itself(trainer: Trainer, last: Path) -> None:
    """Let a warm start of a resumed run read the run's own model: the one it began with may be gone by now."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WarmStart) and last.is_dir():
            callback.directory = str(last)


def _checked_hooks(model: HashModel, trainer: Trainer) -> list[BatchHook]:
    """Return the hooks of a run; a model that no gradient trains would never call them."""
    hooks = batch_hooks(trainer)
    if hooks and not isinstance(model, ObjectiveHashModel):
        raise UsageError(
            f"{type(hooks[0]).__name__} works on the batches of a model trained by gradients, and "
            f"{type(model).__name__} is fitted in closed form; leave it out, or take another method, for example "
            "--method orthohash"
        )
    return hooks


def interrupted_message(run: RunFolder, saver: ModelSaver) -> str:
    """Say what is kept and how to go on."""
    if not saver.checkpoint.exists():
        return "interrupted before the first epoch ended; nothing to resume, features already computed are kept"
    return f"interrupted; finished epochs are kept in {run.path}. Resume with: deephash train --resume {run.path}"


def check_fit(model: HashModel, data: HashDataModule) -> None:
    """Refuse what would train nonsense or stop after an hour; trust the model's class, which is loaded at the end."""
    require_loadable(model)
    trust(type(model).__module__)  # whoever trains a class of theirs knows it
    wanted, there = getattr(model, "num_classes", None), data.num_classes
    if wanted is not None and there and wanted != there:
        raise UsageError(
            f"the model has num_classes={wanted}, but {type(data).__name__} has {there} classes; "
            f"use --model.init_args.num_classes={there}"
        )
    if wanted is not None and not there:
        hint = "".join(f"; {note}" for note in data.notes if "none gives labels" in note)
        raise UsageError(f"{type(model).__name__} is supervised, but {type(data).__name__} has no labels{hint}")
    for modality, encoder in model.encoders.items():
        fresh = encoder.spec.weights is None and any(True for _ in encoder.parameters())
        if fresh and encoder.spec.frozen:
            raise UsageError(
                f"the {modality} backbone {encoder.spec.name} has fresh weights and is frozen, so it would never "
                "learn; give it weights, or frozen: false"
            )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's remarks on hardware and workers: what matters is in ``run.json`` or in our own words."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # frozen backbones
            warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*Experiment logs directory.*")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
