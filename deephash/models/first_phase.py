"""FirstPhase: the buffers of DLCH's first phase, and the losses of the network whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deephash.codes import BinaryCodes
from deephash.objectives.dlch import label_similarity, label_step_losses, network_step_losses, phase_one_codes
from deephash.objectives.memory import RowMemory

LABELS = "label"  # the name of the label net among the networks


class FirstPhase:
    """Last outputs F, G, H of all items, and their codes Bx, By, which follow at the end of each round.

    Args:
        modalities: ``image``, and ``text`` where there are two.
        num_bits: K.
        eta: see :func:`~deephash.objectives.dlch.label_step_losses`, as the others.
        gamma: there.
        mu: there.
        seed: of the first buffers, N(0, 1).

    Attributes:
        memory: columns ``labels``, ``label`` (H), a modality's name (F, G), ``codes_<modality>``, ``has_<modality>``.
    """

    def __init__(
        self, modalities: tuple[str, ...], num_bits: int, *, eta: float, gamma: float, mu: float, seed: int
    ) -> None:
        self.modalities, self.num_bits, self.seed = modalities, num_bits, seed
        self.eta, self.gamma, self.mu = eta, gamma, mu
        self.memory = RowMemory()

    def admit(self, index: Tensor, labels: Tensor, halves: Mapping[str, Tensor] | None = None) -> None:
        """Give items that were not seen yet their random outputs, and B = sgn(F + H).

        Args:
            index: row numbers [b].
            labels: of these items.
            halves: modality -> bool [b], which of them have it; what is not named is there.
        """
        fresh = ~self.memory.knows(index)
        if not fresh.any():
            return
        there = {name: torch.ones_like(fresh) for name in self.modalities} | dict(halves or {})
        present = {f"has_{name}": flags[fresh].bool() for name, flags in there.items()}
        index, labels = index[fresh], labels[fresh]
        generator = torch.Generator().manual_seed(self.seed + len(self.memory))  # the same in all processes
        names = (LABELS, *self.modalities)
        drawn = {name: torch.randn(len(index), self.num_bits, generator=generator).to(index.device) for name in names}
        codes = {f"codes_{name}": phase_one_codes(drawn[name], drawn[LABELS], weight=1.0) for name in self.modalities}
        self.memory.write(index, labels=labels, **drawn, **codes, **present)

    def losses(self, turn: str, outputs: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms of outputs [b, K] of one network, whose rows of the buffers are refreshed first.

        Args:
            turn: ``label`` or a modality.
            outputs: of the network, for items that have what it reads.
            batch: their ``index`` and ``labels``, and ``has_<modality>`` where some lack a half.
        """
        index, labels = batch["index"], batch["labels"]
        flags = {name: batch[f"has_{name}"] for name in self.modalities if f"has_{name}" in batch}
        self.admit(index, labels, flags)
        self.memory.write(index, **{turn: outputs.detach()})
        held = self.memory.everything
        similar = label_similarity(labels, held("labels"))
        codes = {name: self.memory.read(f"codes_{name}", index) for name in self.modalities}
        if turn == LABELS:
            others = {name: (held(name), codes[name]) for name in self.modalities}
            halves = {name: (held(f"has_{name}"), self.memory.read(f"has_{name}", index)) for name in self.modalities}
            weights = {"eta": self.eta, "gamma": self.gamma, "mu": self.mu}
            return label_step_losses(outputs, held(LABELS), others, similar, **weights, halves=halves)
        own = held(f"has_{turn}")
        return network_step_losses(
            outputs, held(turn)[own], held(LABELS)[own], codes[turn], similar[:, own], eta=self.eta, mu=self.mu
        )

    def begin_at_labels(self) -> None:
        """Set F = G = H and B = sgn(H), once the label net made its first pass [R].

        Pictures and texts are tied through H alone, and weakly. From unlike random buffers each may settle at codes of
        its own, which the quantisation then holds: on two classes of the toy of the tests, at a rate of 1e-3, mAP
        stayed between .31 and .65 (three seeds), and is 1.00 by this. At 1e-2 both reach .99.
        """
        labels = self.memory.everything(LABELS)
        codes = {f"codes_{name}": phase_one_codes(labels, labels) for name in self.modalities}
        self.memory.write(self.memory.numbers(), **dict.fromkeys(self.modalities, labels), **codes)

    def begin_at_outputs(self, index: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Let buffers and codes begin at the outputs [n, K] of a network that learned before, H at their mean."""
        labels = torch.stack(list(outputs.values())).mean(dim=0)
        codes = {f"codes_{name}": phase_one_codes(each, labels) for name, each in outputs.items()}
        self.memory.write(index, **{LABELS: labels}, **outputs, **codes)

    def renew_codes(self) -> None:
        """Set Bx = sgn(2 F + H) and By = sgn(2 G + H) of all items; the end of a round."""
        held = self.memory.everything
        codes = {f"codes_{name}": phase_one_codes(held(name), held(LABELS)) for name in self.modalities}
        self.memory.write(self.memory.numbers(), **codes)

    def codes_over(self, encoded: BinaryCodes | None, modality: str) -> BinaryCodes:
        """Return Bx or By of all training items [N]; of items without buffers, as unlabelled ones, what is ``encoded``.

        Args:
            encoded: codes [N] of the network; None where every item has buffers.
            modality: whose.
        """
        signs = self.memory.everything(f"codes_{modality}").cpu().numpy()
        learned = BinaryCodes.from_signs(signs)
        if encoded is None:
            return learned
        packed = encoded.packed.copy()
        packed[self.memory.numbers().cpu().numpy()] = learned.packed
        return BinaryCodes(packed, self.num_bits)
