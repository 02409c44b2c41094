"""PrototypeNet: from a label to the code that its items gather around (ProS-GAN, CVPR 2021; THA, SIGIR 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from deephash.attacks.learning import Rows, step_decay
from deephash.errors import UsageError
from deephash.objectives.labels import multi_hot, share_label
from deephash.objectives.pairs import pair_likelihood
from deephash.objectives.signs import sign
from deephash.progress import track

HIDDEN, SEMANTIC = 4096, 512  # widths of the paper
LABELS_A_STEP = 64
_QUANTIZATION = 1e-4

Objective = Literal["pairs", "circle", "softplus"]


class PrototypeNet(nn.Module):
    """Two layers from a multi-hot label to a semantic vector f [B, 512], a head to h [B, K], and one to the label.

    Args:
        num_classes: C.
        num_bits: K.
        classifies: with the head to the label, which ProS-GAN trains and THA has not.
        hidden: width of the first layer.
    """

    def __init__(self, num_classes: int, num_bits: int, *, classifies: bool = True, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.num_classes, self.num_bits = num_classes, num_bits
        self.feature = nn.Sequential(nn.Linear(num_classes, hidden), nn.ReLU(), nn.Linear(hidden, SEMANTIC))
        self.hashing = nn.Sequential(nn.Linear(SEMANTIC, num_bits), nn.Tanh())
        self.classifier = nn.Sequential(nn.Linear(SEMANTIC, num_classes), nn.Sigmoid()) if classifies else None

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Return the net whose weights these are. Raises KeyError or RuntimeError where they are none."""
        first, last = state["feature.0.weight"], state["hashing.0.weight"]
        net = cls(first.shape[1], len(last), classifies="classifier.0.weight" in state, hidden=len(first))
        net.load_state_dict(dict(state))
        return net.eval()

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return (f, h, c) of multi-hot labels float [B, C]; c is None without the head."""
        feature = self.feature(labels)
        return feature, self.hashing(feature), None if self.classifier is None else self.classifier(feature)

    @torch.no_grad()
    def codes(self, labels: Tensor) -> Tensor:
        """Return prototype codes as signs [B, K]; 0 counts as +1."""
        return sign(self(labels)[1])


def pair_loss(hashes: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
    """Return ProS-GAN's likelihood ``mean [log(1 + e^theta) - S theta]`` with ``theta = h b / 2``.

    Args:
        hashes: h [b, K].
        codes: B, signs [N, K].
        similar: S, booleans [b, N].
    """
    return pair_likelihood(hashes @ codes.T / 2, similar).mean()


def circle_loss(hashes: Tensor, codes: Tensor, similar: Tensor, *, smooth: bool = False) -> Tensor:
    """Return THA's ``[LSE(a_n s_n) + LSE(-a_p s_p)] / b`` over all pairs; of its release, without the softplus.

    ``s`` are cosines, ``a_p = max(0, 2 - s_p)`` and ``a_n = max(0, s_n + 2)`` without gradient. The full rectangle of
    pairs is used; the release masks a triangle of it, and loses true pairs.

    Args:
        hashes: h [b, K].
        codes: B, signs [N, K].
        similar: S, booleans [b, N].
        smooth: a softplus around the bracket, as in SAAT's copy.
    """
    cosine = hashes @ codes.T / codes.shape[1]
    far = (cosine.detach() + 2).clamp(min=0) * cosine
    near = -(2 - cosine.detach()).clamp(min=0) * cosine
    nothing = torch.finfo(cosine.dtype).min
    total = far.masked_fill(similar, nothing).flatten().logsumexp(0)
    total = total + near.masked_fill(~similar, nothing).flatten().logsumexp(0)
    return (softplus(total) if smooth else total) / len(hashes)


def quantization_loss(hashes: Tensor) -> Tensor:
    """Return ``sum (sign h - h)^2 / (10,000 b)``, of both releases."""
    return _QUANTIZATION * (sign(hashes.detach()) - hashes).square().sum() / len(hashes)


@dataclass(frozen=True)
class Teaching:
    """How a PrototypeNet is trained.

    Attributes:
        objective: ``pairs`` (ProS-GAN), ``circle`` (THA), ``softplus`` (THA in SAAT's copy).
        steps: gradient steps; the releases take 30,000; a thousand are enough for ten classes.
        learning_rate: of Adam with betas 0.5 and 0.999, a tenth after half and three quarters.
        seed: of weights and draws.
        hidden: width of the first layer.
        classifies: with the head to the label; None has it for ``pairs`` alone, as THA has none.
    """

    objective: Objective = "pairs"
    steps: int = 1000
    learning_rate: float = 1e-4
    seed: int = 0
    hidden: int = HIDDEN
    classifies: bool | None = None


def learn_prototypes(codes: Tensor, labels: Tensor, teaching: Teaching) -> PrototypeNet:
    """Return a net trained on the codes and labels of a collection; labels are drawn evenly from the distinct ones.

    Args:
        codes: signs [N, K].
        labels: class numbers [N] or multi-hot [N, C]; unlabelled items are left out.
        teaching: see there.

    Raises:
        UsageError: nothing is labelled.
    """
    table, codes = labelled_table(labels, codes)
    distinct = table.unique(dim=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(teaching.seed)
        classifies = teaching.objective == "pairs" if teaching.classifies is None else teaching.classifies
        net = PrototypeNet(table.shape[1], codes.shape[1], classifies=classifies, hidden=teaching.hidden)
    net = net.to(codes.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=teaching.learning_rate, betas=(0.5, 0.999))
    schedule, generator = step_decay(optimizer, teaching.steps), torch.Generator().manual_seed(teaching.seed)
    items = Rows(len(codes), 4096, teaching.seed)
    for _ in track(range(teaching.steps), "learning prototypes", total=teaching.steps, unit="step"):
        drawn = distinct[torch.randint(len(distinct), (LABELS_A_STEP,), generator=generator).to(codes.device)]
        chosen = items().to(codes.device) if len(codes) > 4096 else slice(None)
        optimizer.zero_grad()
        prototype_loss(net, drawn, codes[chosen], table[chosen], teaching.objective).backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def prototype_loss(net: PrototypeNet, drawn: Tensor, codes: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    """Return what a step minimises, for labels ``drawn`` [b, C] against codes [N, K] with labels [N, C]."""
    _, hashes, guessed = net(drawn)
    similar = share_label(drawn, labels)
    if objective == "pairs":
        loss = pair_loss(hashes, codes, similar)
    else:
        loss = circle_loss(hashes, codes, similar, smooth=objective == "softplus")
    loss = loss + quantization_loss(hashes)
    return loss if guessed is None else loss + mse_loss(guessed, drawn)


def labelled_table(labels: Tensor, codes: Tensor, num_classes: int | None = None) -> tuple[Tensor, Tensor]:
    """Return multi-hot labels float [n, C] and codes of the labelled items. Raises UsageError where there are none."""
    if labels.ndim == 1:
        labels = multi_hot(labels, num_classes or int(labels.max()) + 1)
    known = labels.sum(dim=1) > 0
    if not known.any():
        raise UsageError("prototypes are learned from labelled items, and none has a label")
    return labels[known].float(), codes[known]
