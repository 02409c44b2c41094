"""Warm start: begin training at the weights of a saved model, of whatever method and length."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.models.loading import load_model
from deephash.models.stationary import Stationary
from deephash.models.storage import has_assets


@dataclass(frozen=True)
class WarmStartReport:
    """What a warm start took over.

    Attributes:
        copied: names of tensors whose name and shape fit.
        left: names of the model's tensors that keep their fresh values.
    """

    copied: tuple[str, ...]
    left: tuple[str, ...]


def warm_start(model: HashModel, directory: str | Path, *, same_network: bool = False) -> WarmStartReport:
    """Copy every tensor of the saved model that fits ``model`` by name and shape.

    Args:
        model: that begins.
        directory: of the saved model.
        same_network: encoders and hash layers must fit; a classifier beside them may have another size.

    Raises:
        UsageError: nothing fits, so that the start would be cold; or not what ``same_network`` asks for.
        CollectionDamaged: the folder is not a model.
    """
    ancestor = load_model(directory)
    saved, own = ancestor.state_dict(), model.state_dict()
    fitting = {name: tensor for name, tensor in saved.items() if name in own and own[name].shape == tensor.shape}
    if set(fitting) != set(own):  # half a closed-form model is not a fitted one
        fitting.pop("fitted", None)
    if not fitting:
        raise UsageError(
            f"no tensor of {directory} fits {type(model).__name__} with {model.num_bits} bits, so there is nothing to "
            "start from; take a model with the same backbone or the same head"
        )
    if same_network and (lost := _misfits(model, ancestor, fitting)):
        raise UsageError(
            f"the network of {directory} is another one: {lost[0]} does not fit (of {len(lost)}); keep its "
            "configuration, or begin with fresh weights that keep its codes and class targets: --from-scratch"
        )
    model.load_state_dict(fitting, strict=False)
    _take_assets(model, ancestor, fitting)
    if isinstance(model, Stationary) and model.held_targets is not None:
        model.take_targets(model.held_targets, model.target_classes)
    if ancestor.seen is not None:
        model.seen = ancestor.seen if model.seen is None else model.seen | ancestor.seen
    return WarmStartReport(tuple(sorted(fitting)), tuple(sorted(set(own) - set(fitting))))


def _misfits(model: HashModel, ancestor: HashModel, fitting: Collection[str]) -> list[str]:
    """Return the tensors of encoders and hash layers that keep fresh values, of modalities that the ancestor reads."""
    new = tuple(
        f"{part}.{name}." for part in ("encoders", "heads") for name in model.encoders if name not in ancestor.encoders
    )
    return [
        name
        for name in model.state_dict()
        if name.startswith(("encoders.", "head.", "heads.")) and name not in fitting and not name.startswith(new)
    ]


def _take_assets(model: HashModel, ancestor: HashModel, fitting: Collection[str]) -> None:
    """Take over vocabularies where the encoder's tensors fit: columns of weights mean the words that they learned."""
    for name, encoder in model.encoders.items():
        tensors = {f"encoders.{name}.{each}" for each in encoder.state_dict()}
        if has_assets(encoder) and tensors <= set(fitting):
            with tempfile.TemporaryDirectory() as folder:
                ancestor.encoders[name].save_assets(Path(folder))
                encoder.load_assets(Path(folder))


class WarmStart(Callback):
    """``trainer.callbacks``: start from the model saved in ``directory``; resuming from a checkpoint takes precedence.

    Where the start changes a frozen encoder, as its vocabulary, features that were cached before are cached anew.

    Args:
        directory: a model folder, such as RUN/model.
        same_network: see :func:`warm_start`.
    """

    def __init__(self, directory: str, same_network: bool = False) -> None:
        self.directory, self.same_network = directory, same_network
        self._begun: HashModel | None = None

    def begin(self, model: HashModel) -> None:
        """Copy what fits, once; before features are cached, where there is a choice."""
        if self._begun is not model:
            warm_start(model, self.directory, same_network=self.same_network)
            self._begun = model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the weights before a checkpoint, if there is one, is restored."""
        model, data = pl_module, getattr(trainer, "datamodule", None)
        if stage != "fit" or not isinstance(model, HashModel) or self._begun is model:
            return
        self.begin(model)
        if data is not None:
            data.setup(stage)
