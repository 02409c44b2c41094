"""Defences: adversarial training of any method trained by gradients, and training under noise.

Each is a :class:`~deephash.models.BatchHook`: the method's own loss on clean pictures stays, and a term on adversarial
ones is added. The inner attack runs in evaluation mode, as the model is deployed: without dropout, by the statistics
that batch norm has learned. The pass that is learned from is in training mode, but its statistics are not kept: in
evaluation mode there too, batch norm drifts away from what it measures and the codes collapse (met on digits).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Literal

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from deephash.attacks.catalogue import read_epsilon
from deephash.attacks.defence_losses import INNER_STEPS, atrdh_loss, cgat_loss, inner_attack, relaxed, saat_losses
from deephash.attacks.guides import centre_codes, mainstay_codes
from deephash.attacks.prototype import LABELS_A_STEP, PrototypeNet, labelled_table, prototype_loss
from deephash.attacks.victims import Victim, picture_encoder, victim_of
from deephash.errors import UsageError
from deephash.models import BatchHook, ObjectiveHashModel
from deephash.models.objective import Batch
from deephash.objectives.gathering import gather_rows
from deephash.objectives.labels import share_label
from deephash.objectives.memory import RowMemory

Preset = Literal["paper", "release"]

_ADVERSARIAL = "adversarial"  # entry of a batch: changed pictures, normalised
_MOST_TAUGHT = 1024  # items a step of the PrototypeNet looks at


class Defence(BatchHook, ABC):
    """Adversarial training: attack each batch, and learn from what comes of it.

    Guide codes are made from a memory of all training rows' codes, filled before the first step and renewed with every
    batch: they are taken before the inner attack, and again after the clean forward pass.

    Args:
        epsilon: budget of the inner attack, as ``8/255`` or a share of the pixel range.
        steps: of the inner attack.
        step_size: of each, likewise.
        random_start: begin the inner attack anywhere in the budget.
        weight: of the adversarial term.
        scaled: u = tanh(v / mean|v|) rather than tanh(v), so that large outputs hide no gradient; the release has
            tanh(v).
        preset: ``release`` repeats what the released code does where the paper says otherwise: tanh(v), a memory whose
            codes are overwritten by real-valued outputs, statistics of batch norm that take in adversarial pictures,
            and CgAT's zero code (see there).

    Attributes:
        memory: ``signs`` and ``outputs`` [N, K] apart from each other, and ``labels``.
    """

    needs_pixels = True
    chooses_by_score = False  # clean mAP would choose the epoch that is least robust
    away: ClassVar[bool] = True

    def __init__(
        self,
        epsilon: str | float = "8/255",
        steps: int = INNER_STEPS,
        step_size: str | float = "2/255",
        random_start: bool = True,
        weight: float = 1.0,
        scaled: bool | None = None,
        preset: Preset = "paper",
    ) -> None:
        self.epsilon, self.step_size = read_epsilon(str(epsilon)), read_epsilon(str(step_size))
        if steps < 0 or weight < 0:
            raise UsageError(f"steps and weight of a defence are 0 or more, not {steps} and {weight}")
        if preset not in ("paper", "release"):
            raise UsageError(f"a defence has the presets paper and release, not {preset!r}")
        self.steps, self.random_start, self.weight, self.preset = steps, random_start, weight, preset
        self.scaled = preset == "paper" if scaled is None else scaled
        self.memory = RowMemory()

    # What a defence says -----------------------------------------------------------------------------

    @abstractmethod
    def guides(self, labels: Tensor, own: Tensor) -> Tensor:
        """Return guide codes [B, K] from the memory, for labels of B rows whose codes are ``own``."""

    @abstractmethod
    def losses(self, outputs: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return named terms of the relaxed codes u [B, K] of adversarial pictures."""

    # What they share ---------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fill the memory with the codes of all training rows; a resumed run has them."""
        model, data = pl_module, trainer.datamodule  # type: ignore[attr-defined]
        self.memory.to(pl_module.device)
        if len(self.memory) or data is None or not isinstance(model, ObjectiveHashModel):
            return
        for batch in data.batches("train"):
            self._require_labels(model, batch)
            moved = {name: column.to(model.device) for name, column in batch.items()}
            with _evaluating(model), torch.no_grad():
                self._remember(moved, *self._codes(model, moved))

    def prepare(self, model: ObjectiveHashModel, batch: Batch) -> Batch:
        """Attack the pictures of the batch; ``adversarial`` is normalised, as ``image`` is."""
        self._require_labels(model, batch)
        victim, encoder = victim_of(model), picture_encoder(model)
        pixels = encoder.pixels(batch["image"]).clamp(0, 1)
        with _evaluating(model):
            if not self.memory.knows(batch["index"]).all():  # without a fit: what is here is all that is known
                with torch.no_grad():
                    self._remember(batch, *self._codes(model, batch))
            found = inner_attack(
                lambda shown: relaxed(victim.continuous(shown), scaled=self.scaled),
                pixels,
                self.guides(batch["labels"], self.memory.read("signs", batch["index"])),
                away=self.away,
                epsilon=self.epsilon,
                steps=self.steps,
                step_size=self.step_size,
                random_start=self.random_start,
            )
        return {**batch, _ADVERSARIAL: encoder.normalise(found)}

    def extra_losses(self, model: ObjectiveHashModel, batch: Batch) -> dict[str, Tensor]:
        """Renew the memory by the clean pictures, and return the terms of the adversarial ones."""
        present = batch.get("has_image")
        with _evaluating(model), torch.no_grad():
            signs, outputs = self._codes(model, batch)
            self._remember(batch, signs, outputs)
        with nullcontext() if self.preset == "release" else _own_statistics(model):
            found = relaxed(model({"image": batch[_ADVERSARIAL]}).flatten(1).float(), scaled=self.scaled)
        labels, own = batch["labels"], signs
        if present is not None:
            found, labels, own = found[present], labels[present], own[present]
        return self.losses(found, labels, own) if len(found) else {}

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"memory": self.memory.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the memory up again."""
        self.memory.load_state_dict(state_dict["memory"])

    def _codes(self, model: ObjectiveHashModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return signs as deployed and relaxed outputs of clean pictures, as tensors of their own."""
        inputs = {name: batch[name] for name in ("image", "image_features") if name in batch}
        continuous = model(inputs).flatten(1).float()
        bits = continuous >= 0 if model.binarises_at_zero else model.bits(inputs).flatten(1)
        return 2 * bits.float() - 1, relaxed(continuous, scaled=self.scaled)

    def _remember(self, batch: Batch, signs: Tensor, outputs: Tensor) -> None:
        index, labels, signs, outputs = map(gather_rows, (batch["index"], batch["labels"], signs, outputs))
        if self.preset == "release" and len(self.memory):
            signs = outputs  # the release keeps one storage for both, and the outputs are written last
        self.memory.write(index, signs=signs.clone(), outputs=outputs.clone(), labels=labels)

    def _known(self) -> tuple[Tensor, Tensor]:
        return self.memory.everything("signs"), self.memory.everything("labels")

    def _require_labels(self, model: ObjectiveHashModel, batch: Batch) -> None:
        if "labels" not in batch:
            raise UsageError(
                f"{type(self).__name__} makes its guide codes from labels, and this data has none; label some items, "
                "or train under noise (--defence noise:0.1), which needs no labels"
            )
        if "image" not in model.encoders:
            raise UsageError(
                f"{type(self).__name__} attacks pictures, and this {type(model).__name__} reads "
                f"{', '.join(model.encoders)} only; take a method that reads pictures"
            )


class SAAT(Defence):
    """Semantic-aware adversarial training (Yuan et al., 2023): flee, and come back to, the mainstay code of the labels.

    Args:
        epsilon: see :class:`Defence`, as the others.
        steps: there.
        step_size: there.
        random_start: there.
        weight: lambda, 1.
        quantization: mu.
        scaled: see :class:`Defence`.
        preset: there.
    """

    def __init__(
        self,
        epsilon: str | float = "8/255",
        steps: int = INNER_STEPS,
        step_size: str | float = "2/255",
        random_start: bool = True,
        weight: float = 1.0,
        quantization: float = 1e-4,
        scaled: bool | None = None,
        preset: Preset = "paper",
    ) -> None:
        super().__init__(epsilon, steps, step_size, random_start, weight, scaled, preset)
        self.quantization = quantization

    def guides(self, labels: Tensor, own: Tensor) -> Tensor:
        """Return mainstay codes; the own code of a row that shares a class with nobody."""
        return mainstay_codes(labels, *self._known(), own=own)

    def losses(self, outputs: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return :func:`~deephash.attacks.defence_losses.saat_losses`."""
        guide = self.guides(labels, own)
        return saat_losses(outputs, guide, weight=self.weight, quantization=self.quantization)


class CgAT(Defence):
    """Centre-guided adversarial training (Wang et al., WWW 2023): flee, and come back to, the labels' centre code.

    A row that shares a class with nobody keeps its own code as guide; one that shares a class with every item has the
    mean of all codes. The release gives both the zero code, which pushes nowhere; ``preset="release"`` does the same.
    """

    def guides(self, labels: Tensor, own: Tensor) -> Tensor:
        """Return centre codes."""
        codes, known = self._known()
        guide = centre_codes(labels, codes, known, own=own)
        if self.preset == "paper":
            return guide
        shared = share_label(labels, known)
        return guide * (shared.any(dim=1) & ~shared.all(dim=1))[:, None]

    def losses(self, outputs: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return :func:`~deephash.attacks.defence_losses.cgat_loss`."""
        return {"adversarial": self.weight * cgat_loss(outputs, self.guides(labels, own))}


class ATRDH(Defence):
    """Adversarial training of Wang et al. (SIGIR 2021): pulled to the prototype of a random label, come back by pairs.

    The prototypes are those of a PrototypeNet that learns beside the model, by Adam with the rate and betas of the
    release, one step a batch, on the codes of the memory.
    """

    away = False
    net: PrototypeNet | None = None
    optimizer: torch.optim.Optimizer | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fill the memory; bring what a resumed run has to the model's device."""
        super().on_train_start(trainer, pl_module)
        if self.net is not None and self.optimizer is not None:
            before = self.optimizer.state_dict()
            self._begin(self.net.to(pl_module.device)).load_state_dict(before)

    def guides(self, labels: Tensor, own: Tensor) -> Tensor:
        """Return the prototype codes of labels that are drawn evenly from all there are; teach the net one step."""
        codes, known = self._known()
        table, codes = labelled_table(known, codes)
        distinct = table.unique(dim=0)
        if self.net is None:
            self._begin(PrototypeNet(table.shape[1], codes.shape[1], classifies=False).to(codes.device))
        assert self.net is not None
        self._teach(_some(distinct, LABELS_A_STEP), codes, table)
        drawn = torch.randint(len(distinct), (len(labels),), device=distinct.device)
        return self.net.codes(distinct[drawn])

    def losses(self, outputs: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return :func:`~deephash.attacks.defence_losses.atrdh_loss` against the outputs of the memory."""
        similar = share_label(labels, self.memory.everything("labels"))
        return {"adversarial": self.weight * atrdh_loss(outputs, self.memory.everything("outputs"), similar)}

    def state_dict(self) -> dict[str, Any]:
        """Return the memory, the net, and where its optimiser stands."""
        state = super().state_dict()
        if self.net is not None and self.optimizer is not None:
            state |= {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take all of it up again."""
        super().load_state_dict(state_dict)
        if "net" in state_dict:
            self._begin(PrototypeNet.of_state(state_dict["net"])).load_state_dict(state_dict["optimizer"])

    def _begin(self, net: PrototypeNet) -> torch.optim.Optimizer:
        self.net, self.optimizer = net, torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.999))
        return self.optimizer

    def _teach(self, drawn: Tensor, codes: Tensor, table: Tensor) -> None:
        assert self.net is not None
        assert self.optimizer is not None
        chosen = _some(torch.arange(len(codes), device=codes.device), _MOST_TAUGHT)
        with torch.enable_grad():
            self.optimizer.zero_grad()
            prototype_loss(self.net, drawn, codes[chosen], table[chosen], "circle").backward()
            self.optimizer.step()


class NoiseTraining(BatchHook):
    """Trains on pictures with Gaussian noise, which certified bits need (Cohen et al., ICML 2019).

    Args:
        sigma: of the noise, a share of the pixel range; the same as ``deephash certify --sigma``. Pixels are not
            clipped: the network sees what it will see when it is certified.
    """

    needs_pixels = True
    chooses_by_score = False

    def __init__(self, sigma: float = 0.25) -> None:
        if not 0 <= sigma <= 10:
            raise UsageError(f"sigma is a share of the pixel range, such as 0.25, not {sigma}")
        self.sigma = sigma

    def prepare(self, model: ObjectiveHashModel, batch: Batch) -> Batch:
        """Put noise on the pictures; cached features of the clean ones are left out."""
        encoder = picture_encoder(model)
        pixels = encoder.pixels(batch["image"])
        noisy = encoder.normalise(pixels + self.sigma * torch.randn_like(pixels))
        return {**{name: column for name, column in batch.items() if name != "image_features"}, "image": noisy}


@contextmanager
def _evaluating(model: ObjectiveHashModel) -> Iterator[None]:
    with Victim(lambda pixels: pixels, module=model).evaluating():
        yield


@contextmanager
def _own_statistics(model: ObjectiveHashModel) -> Iterator[None]:
    """Let batch norm take the statistics of what it sees, and keep none of them."""
    found = [each for each in model.modules() if isinstance(each, BatchNorm) and each.track_running_stats]
    try:
        for each in found:
            each.track_running_stats = False
        yield
    finally:
        for each in found:
            each.track_running_stats = True


def _some(rows: Tensor, most: int) -> Tensor:
    return rows if len(rows) <= most else rows[torch.randperm(len(rows), device=rows.device)[:most]]
