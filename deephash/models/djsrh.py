"""DJSRH: deep joint-semantics reconstructing hashing, unsupervised. Su, Zhong, Zhang, ICCV 2019.

Within a batch of m pairs, S~ = beta S_I + (1 - beta) S_T mixes the cosines of picture and text features (scaled to
-1..1 as 2 cos - 1), and T = mu ((1 - eta) S~ + eta S~ S~' / m) also counts common neighbours. Code cosines reconstruct
it:

    L = |cos(f, g) - T|^2 + lambda_1 |cos(f, f) - T|^2 + lambda_2 |cos(g, g) - T|^2     (means over entries)

with f, g = tanh(alpha h), alpha = sqrt(epoch + 1). mu = 1.5 puts targets out of reach on purpose.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.optimizers import Optimizer
from deephash.models.two_towers import Batch, Half, TwoTowers, perceptron


class DJSRH(TwoTowers):
    """Unsupervised hashing of pairs by reconstructing a joint similarity. The paper trains with batches of 32.

    Args:
        num_bits: K.
        image_backbone: the picture encoder (AlexNet's fc7 in the paper).
        text_backbone: the text encoder.
        image_hidden: widths of hidden layers of the picture head; the paper has none.
        text_hidden: those of the text head.
        beta: share of the picture similarity: .9 for MIRFlickr, .6 for NUS-WIDE, .3 for Wiki.
        eta: share of the second-order similarity.
        mu: scale of the target.
        intra: lambda_1 and lambda_2: .1, for Wiki .3.
        optimizer: see :class:`Optimizer`; None is SGD at .01, momentum .9, decay 5e-4.
    """

    default_optimizer: ClassVar[Optimizer] = Optimizer(name="sgd", learning_rate=0.01)
    training_only: ClassVar[tuple[str, ...]] = ("beta", "eta", "mu", "intra")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        image_hidden: tuple[int, ...] = (),
        text_hidden: tuple[int, ...] = (4096,),
        beta: float = 0.6,
        eta: float = 0.4,
        mu: float = 1.5,
        intra: tuple[float, float] = (0.1, 0.1),
        optimizer: Optimizer | None = None,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer)
        self.save_hyperparameters()
        if not 0 <= beta <= 1 or not 0 <= eta <= 1:
            raise UsageError(f"beta and eta are shares within [0, 1], not {beta} and {eta}")
        self.beta, self.eta, self.mu, self.intra = beta, eta, mu, intra
        hidden = {"image": tuple(image_hidden), "text": tuple(text_hidden)}
        self.heads = nn.ModuleDict(
            {name: perceptron(encoder.num_features, hidden[name], num_bits) for name, encoder in self.encoders.items()}
        )

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return the three reconstructions."""
        image, text, _ = self.complete_pairs(halves, batch)
        target = joint_similarity(image, text, beta=self.beta, eta=self.eta, mu=self.mu)
        sharpness = float(self.current_epoch + 1) ** 0.5
        f, g = (
            normalize(torch.tanh(sharpness * self.codes_of(name, features)), dim=1)
            for name, features in (("image", image), ("text", text))
        )
        return {
            "cross": (f @ g.T - target).square().mean(),
            "image": self.intra[0] * (f @ f.T - target).square().mean(),
            "text": self.intra[1] * (g @ g.T - target).square().mean(),
        }


def joint_similarity(image: Tensor, text: Tensor, *, beta: float, eta: float, mu: float) -> Tensor:
    """Return the symmetric target [m, m] from features [m, D_I] and [m, D_T]."""
    first, second = (2 * normalize(x, dim=1) @ normalize(x, dim=1).T - 1 for x in (image, text))
    mixed = beta * first + (1 - beta) * second
    target: Tensor = mu * ((1 - eta) * mixed + eta * mixed @ mixed.T / len(mixed))
    return target
