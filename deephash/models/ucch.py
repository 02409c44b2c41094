"""UCCH: unsupervised contrastive cross-modal hashing. Hu, Zhu, Lin, Peng, Peng, TPAMI 2023.

Outputs h = tanh(MLP) / |.| of a pair agree with the pair's own code in a memory bank rather than with other codes, and
with each other rather than with the batch:

    L = alpha L_c + (1 - alpha) L_r
    L_c: cross-entropy of sgn(c)'h / (T sqrt K), its own code against K- random ones; in the first epoch, those of the
        batch
    L_r: mean(margin - s_ii + log sum_j exp s~_ij) in both directions; entries below s_ii - margin are lowered by
        ``shift``

The bank follows the outputs: c <- (m c + (1 - m)(f + g) / 2) / |.|. The authors' code (``preset="release"``) differs in
three places: the bank takes the mean (f + g) / 2 at unit norm, codes are read before the bank moves, and L_c is the sum
of both modalities' cross-entropies, not their mean.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError, did_you_mean
from deephash.models.optimizers import Optimizer
from deephash.models.two_towers import Batch, Half, TwoTowers, perceptron
from deephash.objectives.memory import RowMemory
from deephash.objectives.signs import sign


class UCCH(TwoTowers):
    """Unsupervised hashing of pairs against a memory of codes.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        image_hidden: hidden layers of the picture head; the authors have two of 8192.
        text_hidden: hidden layers of the text head; the authors have one of 8192.
        alpha: share of the memory term.
        margin: of the ranking term.
        shift: see the head of this file.
        momentum: m of the memory.
        temperature: T of the memory term.
        num_negatives: K- codes drawn from the memory, once a batch (the release draws them once a pair).
        preset: ``paper`` is the formula above; ``release`` is the authors' code.
        optimizer: see :class:`Optimizer`; None is Adam at 1e-4, decay 1e-6.
    """

    memory: RowMemory
    default_optimizer: ClassVar[Optimizer] = Optimizer(learning_rate=1e-4, weight_decay=1e-6)
    training_only: ClassVar[tuple[str, ...]] = (
        "alpha",
        "margin",
        "shift",
        "momentum",
        "temperature",
        "num_negatives",
        "preset",
    )

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        image_hidden: tuple[int, ...] = (2048, 2048),
        text_hidden: tuple[int, ...] = (2048,),
        alpha: float = 0.7,
        margin: float = 0.2,
        shift: float = 0.1,
        momentum: float = 0.4,
        temperature: float = 0.9,
        num_negatives: int = 4096,
        optimizer: Optimizer | None = None,
        preset: Literal["paper", "release"] = "paper",
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer)
        self.save_hyperparameters()
        if not 0 <= alpha <= 1 or temperature <= 0 or not 0 <= momentum < 1:
            raise UsageError(
                f"alpha in [0, 1], temperature above 0, momentum in [0, 1): {alpha}, {temperature}, {momentum}"
            )
        if preset not in ("paper", "release"):
            raise UsageError(f"unknown preset {preset!r}" + did_you_mean(preset, ["paper", "release"]))
        self.preset = preset
        self.alpha, self.margin, self.shift = alpha, margin, shift
        self.momentum, self.temperature, self.num_negatives = momentum, temperature, num_negatives
        hidden = {"image": tuple(image_hidden), "text": tuple(text_hidden)}
        self.heads = nn.ModuleDict(
            {
                name: perceptron(encoder.num_features, hidden[name], num_bits, tanh=True)
                for name, encoder in self.encoders.items()
            }
        )
        self.memory = RowMemory()

    def codes_of(self, modality: str, features: Tensor) -> Tensor:
        """Return tanh outputs of unit norm [b, K]."""
        return normalize(super().codes_of(modality, features), dim=1)

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return the memory term and the ranking term."""
        image, text, rows = self.complete_pairs(halves, batch)
        f, g = self.codes_of("image", image), self.codes_of("text", text)
        own, negatives = self._remember(batch["index"][rows], (f + g).detach() / 2)
        contrast = self._contrast(f, own, negatives) + self._contrast(g, own, negatives)
        contrast = contrast if self.preset == "release" else contrast / 2
        similarity = f @ g.T
        ranking = shifted_ranking(similarity, margin=self.margin, shift=self.shift)
        ranking = ranking + shifted_ranking(similarity.T, margin=self.margin, shift=self.shift)
        return {"memory": self.alpha * contrast, "ranking": (1 - self.alpha) * ranking}

    def _remember(self, index: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Move the memory towards ``outputs``; return own codes [b, K] and random others (None in the first epoch)."""
        known = len(self.memory) > 0 and bool(self.memory.knows(index).all())
        held = self.memory.read("codes", index).to(outputs) if known else outputs
        if self.preset == "release":
            outputs = normalize(outputs, dim=1)
            own, negatives = self._drawn(held, outputs, known)
            self.memory.write(index, codes=self._moved(held, outputs))
            return own, negatives
        moved = self._moved(held, outputs)
        self.memory.write(index, codes=moved)
        return self._drawn(moved, moved, known)

    def _moved(self, held: Tensor, outputs: Tensor) -> Tensor:
        momentum = 0.0 if self.preset == "release" and self.current_epoch == 0 else self.momentum
        return normalize(momentum * held + (1 - momentum) * outputs, dim=1)

    def _drawn(self, later: Tensor, first: Tensor, known: bool) -> tuple[Tensor, Tensor | None]:
        """Return own codes, signs of ``first`` in the first epoch and of ``later`` after it, and random others."""
        if self.current_epoch == 0 or not known:
            return sign(first), None
        bank = self.memory.everything("codes")
        chosen = torch.randint(0, len(bank), (min(self.num_negatives, len(bank)),), device=bank.device)
        return sign(later), sign(bank[chosen])

    def _contrast(self, outputs: Tensor, own: Tensor, negatives: Tensor | None) -> Tensor:
        sharpness = self.temperature * self.num_bits**0.5  # codes have norm sqrt(K), outputs norm 1
        if negatives is None:
            return cross_entropy(outputs @ own.T / sharpness, torch.arange(len(outputs), device=outputs.device))
        positive = (outputs * own).sum(dim=1, keepdim=True)
        logits = torch.cat([positive, outputs @ negatives.T], dim=1) / sharpness
        return cross_entropy(logits, torch.zeros(len(outputs), dtype=torch.long, device=outputs.device))


def shifted_ranking(similarity: Tensor, *, margin: float, shift: float) -> Tensor:
    """Return mean_i(margin - s_ii + log sum_j exp s~_ij); entries below s_ii - margin lowered by ``shift``."""
    own = similarity.diagonal()[:, None]
    lowered = torch.where(similarity < own - margin, similarity - shift, similarity)
    return (margin - own[:, 0] + lowered.logsumexp(dim=1)).mean()
