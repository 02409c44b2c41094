"""DLCH: deep lifelong cross-modal hashing. Xu, Li, Zheng, Li, Lv, TCSVT 2024, arXiv 2304.13357; supervised.

Phase 1 learns the first classes: a label net and one network a modality take turns, each compared with what they all
last said of all items. A later phase (``--continue-from RUN --replay 2000``) learns new classes beside codes that
stand: one network a pass, and after its pass the codes of the new items are solved discretely. The losses are in
:mod:`deephash.objectives.dlch`, the descent in :mod:`deephash.objectives.new_codes`; docs/methods/dlch.md says what of
it is the released code's, what is corrected, and what is ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.models.base import Inputs
from deephash.models.cross_modal import MODALITIES, sole_modality
from deephash.models.first_phase import LABELS, FirstPhase
from deephash.models.label_net import LabelNet, layers, small_normal
from deephash.models.lifelong_phase import LifelongPhase, SeenCodes, outputs_of
from deephash.models.objective import Batch, ObjectiveHashModel
from deephash.models.optimizers import Optimizer, build_optimizer
from deephash.objectives.checks import require_finite
from deephash.objectives.dlch import Preset
from deephash.objectives.gathering import gather_rows, mean_over_processes
from deephash.objectives.labels import labelled_mask
from deephash.objectives.lifelong_codes import LifelongWeights

NO_TEXTS = Backbone("none", weights=None)  # not optional: configurations could not lay one over another
_QUICK = Optimizer("adam", 1e-2, 0.01, 0.0)  # 1e-4 for backbones
_LATER = Optimizer("adam", 1e-3, 0.01, 0.0)  # 1e-5 for backbones
_RELEASED = Optimizer("sgd", 1e-3, 1.0, 0.0, momentum=0.0)
_RELEASED_LATER = Optimizer("adam", 1e-7, 1.0, 0.0)
_LEAST_RATE, _DECAY = 1e-10, 0.95


class DLCH(ObjectiveHashModel):
    """Lifelong hashing of pictures with texts, or of pictures alone, by labels.

    An epoch is one pass of one network: label net, pictures, texts and round again; in later phases without label net.

    Args:
        num_bits: K.
        num_classes: C, of the whole stream; only the label net, which is dropped after phase 1, depends on it.
        image_backbone: the picture encoder (the release trains CNN-F; any encoder does, frozen or not).
        text_backbone: the text encoder; ``none``, the default, hashes pictures alone.
        text_hidden: widths of the hidden layers of the text head; the release has one of 8192.
        label_hidden: width of the hidden layer of the label net, 8192 there too.
        eta: weight of a network against its own outputs, in phase 1.
        gamma: of the label net against texts, in phase 1.
        mu: of the quantisation, in phase 1.
        lifelong: loss of the later phases; see :class:`~deephash.objectives.lifelong_codes.LifelongWeights`, whose
            preset is this one.
        lifelong_rate: learning rate of the later phases (Adam); None is 1e-3 for heads and 1e-5 for backbones,
            1e-7 in the release.
        fine_tune: a run that continues from another goes on with the losses of phase 1, on its own items, from the
            outputs of the network as it is: the baseline that forgets.
        preset: ``corrected``, or ``release`` for the released code's optimisers and inputs in both phases and its
            defects in the later ones.
        optimizer: of phase 1; None is Adam at 1e-2 for heads and 1e-4 for backbones, in the release SGD from 1e-3 down
            to 1e-10.
        seed: of the first buffers and of the label net.
    """

    supervised: ClassVar[bool] = True
    modalities: ClassVar[tuple[str, ...]] = MODALITIES
    training_only: ClassVar[tuple[str, ...]] = (
        *("num_classes", "label_hidden", "eta", "gamma", "mu", "lifelong", "lifelong_rate", "fine_tune"),
        *("preset", "seed"),
    )

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        image_backbone: Backbone = Backbone(),
        text_backbone: Backbone = NO_TEXTS,
        text_hidden: tuple[int, ...] = (1024,),
        label_hidden: int = 1024,
        eta: float = 10.0,
        gamma: float = 10.0,
        mu: float = 1.0,
        lifelong: LifelongWeights | None = None,
        lifelong_rate: float | None = None,
        fine_tune: bool = False,
        preset: Preset = "corrected",
        optimizer: Optimizer | None = None,
        seed: int = 0,
    ) -> None:
        if preset not in ("corrected", "release"):
            raise UsageError(f"unknown preset {preset!r}" + did_you_mean(preset, ["corrected", "release"]))
        backbones = {"image": image_backbone} | ({} if text_backbone.name == NO_TEXTS.name else {"text": text_backbone})
        plan = (optimizer or Optimizer()).over(_RELEASED if preset == "release" else _QUICK)
        super().__init__(num_bits, backbones, plan)
        self.save_hyperparameters()
        self.num_classes, self.preset, self.seed, self.fine_tune = num_classes, preset, seed, fine_tune
        self.weights = {"eta": eta, "gamma": gamma, "mu": mu}
        self.lifelong = replace(lifelong or LifelongWeights(), preset=preset)
        self.lifelong_rate = lifelong_rate
        hidden = {"image": (), "text": tuple(text_hidden)}
        self.heads = nn.ModuleDict()
        for name, encoder in self.encoders.items():
            self.heads[name] = small_normal(layers(encoder.num_features, hidden[name], num_bits))
            self.register_buffer(f"{name}_mean", torch.zeros(encoder.num_features))
            self.register_buffer(f"{name}_scale", torch.ones(()))
        self.label_net = LabelNet(num_classes, label_hidden, num_bits, seed=seed)
        self.first = FirstPhase(tuple(self.encoders), num_bits, **self.weights, seed=seed)
        self.memory = self.first.memory
        self.later: LifelongPhase | None = None  # there in phases 2, 3, ...

    # From input to code --------------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes v [B, K], linear and unbounded, of the one modality given."""
        modality = sole_modality(inputs)
        features = self.features(inputs, modality)
        steady = (features - self.get_buffer(f"{modality}_mean")) / self.get_buffer(f"{modality}_scale")
        codes: Tensor = self.heads[modality](steady)
        return codes

    # Turns ---------------------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that take turns, in their order."""
        return tuple(self.encoders) if self.later is not None else (LABELS, *self.encoders)

    @property
    def turn(self) -> str:
        """The one network that learns in this epoch."""
        return self.networks[self.current_epoch % len(self.networks)]

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the network whose turn it is; no other gets a gradient.

        Rows without labels, or without the half that the network reads, are left out.
        """
        if "labels" not in batch:
            raise UsageError("DLCH is supervised: batches need 'labels'; DJSRH and UCCH learn without")
        turn = self.turn
        outputs = self.label_net(batch["labels"]) if turn == LABELS else self(_half(batch, turn))
        whole = {name: gather_rows(batch[name]) for name in batch if name in ("labels", "index") or _is_flag(name)}
        rows = self._usable(whole)
        kept = {name: column[rows] for name, column in whole.items()}
        with torch.autocast(self.device.type, enabled=False):
            outputs = gather_rows(outputs.float())[rows]
            require_finite(outputs, f"outputs of the {turn} network")
            if not len(outputs):
                return {"unlabelled_batch": outputs.sum()}
            if self.later is not None:
                return self.later.losses(turn, outputs, kept)
            return self.first.losses(turn, outputs, kept)

    def _usable(self, batch: Batch) -> Tensor:
        """Return which rows of the batch, bool [B], the network at its turn learns from."""
        rows = labelled_mask(batch["labels"], self.num_classes)
        return rows & batch[f"has_{self.turn}"].bool() if f"has_{self.turn}" in batch else rows

    def on_after_backward(self) -> None:
        """Average the label net's gradient over processes; DDP knows the model's own weights only."""
        if self.later is None and self.turn == LABELS:
            for weight in self.label_net.net.parameters():
                if weight.grad is not None:
                    weight.grad = mean_over_processes(weight.grad)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Make the codes anew after a pass, before the model is scored and saved: the network's, or after a round B."""
        if not self.trainer.is_last_batch:
            return
        if self.later is not None:
            self.later.solve(self.turn)
            self.learned_codes = self.later.learned_codes()
        elif self.turn == LABELS and self.current_epoch == 0 and self.preset == "corrected":
            self.first.begin_at_labels()
        elif self.turn == self.networks[-1]:
            self.first.renew_codes()
            self.learned_codes = self._first_codes()

    def _first_codes(self) -> BinaryCodes:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        split = data.splits["train"] if data is not None else ()
        complete = len(split) in (0, len(self.first.memory))
        parts = [
            self.first.codes_over(None if complete else data.codes(self, "train", modality=name), name)
            for name in self.encoders
        ]
        return BinaryCodes.concatenate(parts)

    # The life of a run -----------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Find out which phase this is: codes that an ancestor stored make it a later one."""
        data = getattr(self.trainer, "datamodule", None)
        if stage != "fit" or data is None:
            return
        seen = {} if self.fine_tune else SeenCodes.of(data, tuple(self.encoders))
        columns = data.splits["train"].columns(without=tuple(self.encoders))
        self.later = LifelongPhase(seen, columns, self.lifelong, seed=self.seed) if seen else None
        self.memory = None if seen else self.first.memory

    def _goes_on(self) -> bool:
        """Say whether this run continues from another, in whatever phase."""
        return getattr(getattr(self.trainer, "datamodule", None), "book", None) is not None

    def configure_optimizers(self) -> Any:
        """Build the optimiser of this phase, with the label net in the first; the release lowers its rate."""
        if self.later is None:
            plan, learning = self.optimizer, nn.ModuleList([self, self.label_net.net])
            schedule = self._falling
        else:
            plan = _RELEASED_LATER if self.preset == "release" else _LATER
            plan = Optimizer(learning_rate=self.lifelong_rate).over(plan)
            learning, schedule = nn.ModuleList([self]), lambda epoch: _DECAY ** (epoch // len(self.networks))
        built = build_optimizer(plan, learning, self.encoders)
        if self.preset != "release" or isinstance(built, dict):
            return built
        return {"optimizer": built, "lr_scheduler": {"scheduler": LambdaLR(built, schedule), "interval": "epoch"}}

    def _falling(self, epoch: int) -> float:
        """Return the share of the first rate in an epoch: a straight line over all rounds."""
        rounds = max(1, (self.trainer.max_epochs or 1) // len(self.networks))
        last = _LEAST_RATE / float(self.optimizer.learning_rate or 1)
        return 1 - (1 - last) * min(1.0, epoch // len(self.networks) / rounds)

    def on_fit_start(self) -> None:
        """Take mean and scale of the cached features when a modality is first seen; the release has neither."""
        data = getattr(self.trainer, "datamodule", None)
        if data is None or self.preset == "release":
            return
        split = data.splits["train"]
        for name, table in split.features.items():
            there = torch.from_numpy(split.present[name]) if name in split.present else slice(None)
            kept = self._goes_on() and bool(self.get_buffer(f"{name}_mean").any())
            if not kept and len(table[there]):
                self.steady_on(name, table[there])

    def steady_on(self, modality: str, table: Tensor) -> None:
        """Bring features [N, D] to the mean 0 and to one mean square, before the head."""
        mean = table.double().mean(dim=0)
        self.get_buffer(f"{modality}_mean").copy_(mean)
        scale = (table.double() - mean).square().mean().sqrt()
        self.get_buffer(f"{modality}_scale").copy_(scale.clamp_min(1e-12))

    def on_train_start(self) -> None:
        """Fill the buffers: random ones in phase 1, the network's outputs for all of Omega in a later one."""
        data = getattr(self.trainer, "datamodule", None)
        if self.later is not None:
            self.later.begin(self, data)  # type: ignore[arg-type]
            return
        self.label_net.to(self.device)
        self.first.memory.to(self.device)
        if data is not None:
            rows = self._training_rows()
            usable = labelled_mask(rows["labels"], self.num_classes)
            halves = {name: rows[f"has_{name}"][usable] for name in self.encoders if f"has_{name}" in rows}
            resumed = len(self.first.memory) > 0
            self.first.admit(rows["index"][usable], rows["labels"][usable], halves)
            if self._goes_on() and not resumed:
                outputs = {name: outputs_of(self, data, name)[usable] for name in self.encoders}
                self.first.begin_at_outputs(rows["index"][usable], outputs)

    def _training_rows(self) -> dict[str, Tensor]:
        """Return labels, row numbers and flags of the whole training split."""
        columns = self.trainer.datamodule.splits["train"].columns(without=tuple(self.encoders))  # type: ignore[attr-defined]
        return {name: column.to(self.device) for name, column in columns.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep buffers, label net, and codes on their way, none of which is in a saved model."""
        super().on_save_checkpoint(checkpoint)
        if self.later is None:
            checkpoint["label_net"] = self.label_net.state_dict()
        else:
            checkpoint["later"] = self.later.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take all of it up again."""
        super().on_load_checkpoint(checkpoint)
        if self.later is None:
            self.label_net.load_state_dict(checkpoint["label_net"])
        else:
            self.later.load_state_dict(checkpoint["later"])


def _is_flag(name: str) -> bool:
    return name.startswith("has_")


def _half(batch: Batch, modality: str) -> dict[str, Tensor]:
    return {key: batch[key] for key in (modality, f"{modality}_features") if key in batch}
