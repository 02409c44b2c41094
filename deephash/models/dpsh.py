"""DPSH: Li, Wang, Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels", IJCAI 2016.

The likelihood of pairwise labels under ``Theta = u u^T / 2``, each batch against the remembered outputs of the whole
training set, plus a quantisation penalty. Measured results: docs/methods/dpsh.md.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import RMSPROP, Optimizer
from deephash.objectives.labels import share_label
from deephash.objectives.memory import RowMemory
from deephash.objectives.nested import NestedLengths
from deephash.objectives.pairs import pair_likelihood
from deephash.objectives.quantization import squared_quantization


def dpsh_loss(codes: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
    """Return ``mean [log(1 + e^Theta) - S Theta]`` with ``Theta_ij = u_i^T m_j / 2``.

    Args:
        codes: u [B, K].
        memory: m [N, K]; no gradient flows into it.
        similar: S, booleans [B, N].
    """
    return pair_likelihood(0.5 * codes @ memory.detach().T, similar).mean()


class DPSH(CentredHashModel):
    """DPSH on any picture encoder.

    Class balancing of pairs, which one later framework adds, belongs to HashNet and is left out.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes RMSprop with rate 1e-5.
        quantization_weight: of ``mean (u - sign u)^2``.
        memory: compare with the remembered outputs of all rows; False compares within the batch.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    suffers_from_offset: ClassVar[bool] = True
    least_rows: int = 2
    default_optimizer: ClassVar[Optimizer] = RMSPROP
    training_only: ClassVar[tuple[str, ...]] = ("quantization_weight", "memory")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        quantization_weight: float = 0.1,
        memory: bool = True,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        self.quantization_weight = quantization_weight
        self.memory = RowMemory() if memory else None
        self.head = nn.Linear(self.num_features, num_bits)
        nn.init.normal_(self.head.weight, std=0.01)

    def observe(self, codes: Tensor, batch: Batch) -> None:
        """Write the batch into the memory."""
        if self.memory is not None:
            self.memory.write(batch["index"], codes=codes, labels=batch["labels"])

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``pairs`` and ``quantization``."""
        if self.memory is None:
            others, labels = codes, batch["labels"]
        else:
            others, labels = self.memory.everything("codes"), self.memory.everything("labels")
        similar = share_label(batch["labels"], labels)
        return {
            "pairs": dpsh_loss(codes, others[:, : codes.shape[1]], similar),
            "quantization": self.quantization_weight * squared_quantization(codes),
        }
