"""DCMH: deep cross-modal hashing, supervised. Jiang and Li, CVPR 2017.

    J = - sum_ij (S_ij Theta_ij - log(1 + exp Theta_ij)) + gamma (|B - F|^2 + |B - G|^2) + eta (|F 1|^2 + |G 1|^2)

with outputs F of pictures and G of texts, Theta = F'G / 2, S_ij = 1 where labels overlap, one code B = sgn(F + G) a
pair. Outputs of all training items are kept, and a batch is compared with all of them. Differences from the authors'
code: both networks step on every batch instead of one pass each, and the optimiser is Adam by default.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import softplus

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.optimizers import Optimizer
from deephash.models.two_towers import Batch, Half, TwoTowers, perceptron
from deephash.objectives.labels import labelled_mask, share_label
from deephash.objectives.memory import RowMemory
from deephash.objectives.signs import sign


class DCMH(TwoTowers):
    """Supervised hashing of pairs by the likelihood of label overlap.

    Args:
        num_bits: K.
        image_backbone: the picture encoder (the paper trains CNN-F; frozen features with a head do here).
        text_backbone: the text encoder; the paper has a bag of words.
        hidden: widths of the hidden layers of both heads; the paper's text network has 8192.
        gamma: weight of the quantisation.
        eta: weight of the balance of bits, chosen on validation articles of Wiki. The paper has 1 with slow SGD; under
            Adam that oscillates, because the kept outputs follow late.
        optimizer: see :class:`Optimizer`; None is Adam at 1e-3 without decay.
    """

    supervised: ClassVar[bool] = True
    memory: RowMemory
    default_optimizer: ClassVar[Optimizer] = Optimizer(learning_rate=1e-3, weight_decay=0.0)
    training_only: ClassVar[tuple[str, ...]] = ("gamma", "eta")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        hidden: tuple[int, ...] = (1024,),
        gamma: float = 1.0,
        eta: float = 0.001,
        optimizer: Optimizer | None = None,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer)
        self.save_hyperparameters()
        self.gamma, self.eta = gamma, eta
        self.heads = nn.ModuleDict(
            {name: perceptron(encoder.num_features, tuple(hidden), num_bits) for name, encoder in self.encoders.items()}
        )
        self.memory = RowMemory()

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return likelihood, quantisation and balance of both networks against all outputs seen."""
        if "labels" not in batch:
            raise UsageError("DCMH is supervised: batches need 'labels'; DJSRH and UCCH learn without")
        image, text, rows = self.complete_pairs(halves, batch)
        known = labelled_mask(batch["labels"][rows])
        index, labels = batch["index"][rows][known], batch["labels"][rows][known]
        live = {"image": self.codes_of("image", image[known]), "text": self.codes_of("text", text[known])}
        self.memory.write(index, labels=labels, **live)
        codes_of_pairs = sign(live["image"].detach() + live["text"].detach())
        similar = share_label(labels, self.memory.everything("labels")).float()
        scale = 1 / (len(similar) * similar.shape[1])
        other = {"image": "text", "text": "image"}
        losses = {}
        for name, codes in live.items():
            likelihood = negative_log_likelihood(codes, self.memory.everything(other[name]), similar)
            losses[f"likelihood_{name}"] = scale * likelihood
            losses[f"quantization_{name}"] = scale * self.gamma * (codes_of_pairs - codes).square().sum()
            losses[f"balance_{name}"] = scale * self.eta * self._imbalance(codes, name)
        return losses

    def _imbalance(self, live: Tensor, modality: str) -> Tensor:
        """|F 1|^2 over all outputs; those of this batch carry gradients."""
        stored = self.memory.everything(modality).sum(dim=0)
        return (stored - live.detach().sum(dim=0) + live.sum(dim=0)).square().sum()


def negative_log_likelihood(outputs: Tensor, others: Tensor, similar: Tensor) -> Tensor:
    """Return the sum of log(1 + exp Theta) - S Theta with Theta = outputs others' / 2, never negative.

    Args:
        outputs: [b, K].
        others: [n, K], without gradients.
        similar: 0/1 [b, n].
    """
    theta = outputs @ others.T / 2
    return (softplus(theta) - similar * theta).sum()
