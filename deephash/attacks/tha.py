"""THA: pull pictures to the prototype of a label (Wang et al., SIGIR 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from torch import Tensor

from deephash.attacks.base import Aim
from deephash.attacks.descent import Goal, GradientAttack
from deephash.attacks.learning import Lesson
from deephash.attacks.losses import product_loss
from deephash.attacks.prototype import PrototypeNet, Teaching, learn_prototypes
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.objectives.labels import multi_hot


@dataclass(frozen=True)
class THA(GradientAttack):
    """Pull to ``sign h(y)`` of a PrototypeNet, by the sign of the gradient.

    Args:
        teaching_steps: of the PrototypeNet; the release takes 30,000.
        smooth: softplus around its loss, as in SAAT's copy.
    """

    targeted: ClassVar[bool] = True
    teaching_steps: int = 1000
    smooth: bool = False
    net: PrototypeNet | None = field(default=None, compare=False, repr=False)

    def learn(self, victim: Victim, lesson: Lesson) -> Self:
        """Train the PrototypeNet on the known codes."""
        if lesson.known.labels is None:
            raise UsageError("THA learns prototypes from labelled codes of the collection, and nothing is labelled")
        teaching = Teaching("softplus" if self.smooth else "circle", self.teaching_steps, seed=self.seed)
        known = lesson.known.to(victim.device)
        assert known.labels is not None
        return replace(self, net=learn_prototypes(known.codes, known.labels, teaching))

    def learned(self) -> dict[str, Tensor]:
        """Return the weights of the net."""
        return {} if self.net is None else self.net.state_dict()

    def with_learned(self, state: dict[str, Tensor]) -> Self:
        """Return the attack with those weights."""
        return replace(self, net=PrototypeNet.of_state(state))

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the product with the prototype code."""
        if aim.targets is None:
            raise UsageError("THA pulls pictures to a label: give Aim(targets=...)")
        net = self.net or self._taught(victim, aim).net
        assert net is not None
        table = multi_hot(aim.targets, net.num_classes).float().to(images.device)
        codes = net.to(images.device).codes(table)
        return Goal(lambda u, _: -product_loss(u, codes), codes, away=False)

    def _taught(self, victim: Victim, aim: Aim) -> Self:
        if aim.known is None:
            raise UsageError("THA learns prototypes from labelled codes: give Aim(known=Known(...)), or call learn()")
        return self.learn(victim, Lesson(aim.known))
