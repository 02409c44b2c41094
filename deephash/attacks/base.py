"""Attack: pictures in, pictures out, and the promises that every attack keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from deephash.attacks.pixels import box, fraction, require_budget, require_pixels
from deephash.attacks.victims import Victim, victim_of
from deephash.errors import UsageError
from deephash.objectives.labels import share_label
from deephash.objectives.signs import sign

EPSILON = 8 / 255
_ROUNDING = 1e-5  # of float32 pixels; the smallest grey level is 4e-3


@dataclass(frozen=True, eq=False)
class Known:
    """What an attacker has of the collection: codes and labels, as a rule of the training split.

    Attributes:
        codes: signs, float [N, K].
        labels: class numbers [N] or multi-hot [N, C]; None where nothing is labelled.
    """

    codes: Tensor
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or (self.labels is not None and _rows(self.labels) != len(self.codes)):
            labels = "none" if self.labels is None else str(list(self.labels.shape))
            raise UsageError(
                f"known codes are [N, K] with a label each, not {list(self.codes.shape)} with labels {labels}"
            )

    def take(self, rows: Sequence[int]) -> Known:
        """Return some rows, in that order."""
        chosen = list(rows)
        return Known(self.codes[chosen], None if self.labels is None else self.labels[chosen])

    def to(self, device: torch.device) -> Known:
        """Return the same on a device."""
        return Known(self.codes.to(device), None if self.labels is None else self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Aim:
    """What an attack on B pictures is to reach; fields that a method does not use may be left out.

    Attributes:
        labels: the pictures' own labels, which an untargeted attack flees.
        targets: labels that are aimed at.
        codes: codes [B, K] (signs) that are aimed at, such as those of items or phrases.
        known: codes and labels from which guide codes are made.
        items: B numbers that name the pictures, for their random streams; None counts them.
        fled: signs [B, K] that an untargeted attack flees in place of the picture's own code, such as its captions'; a
            row of zeros flees its own.
    """

    labels: Tensor | None = None
    targets: Tensor | None = None
    codes: Tensor | None = None
    known: Known | None = None
    items: Sequence[int] | None = None
    fled: Tensor | None = None

    def to(self, device: torch.device) -> Aim:
        """Return the same on a device."""
        moved = {name: None if (value := getattr(self, name)) is None else value.to(device) for name in _TENSORS}
        return replace(self, **moved)

    def guide_to_flee(self, own: Tensor) -> Tensor:
        """Return the signs [B, K] that are fled, given the pictures' ``own``."""
        return own if self.fled is None else torch.where(self.fled.any(dim=1, keepdim=True), self.fled, own)

    def require_bits(self, num_bits: int, asker: str) -> None:
        """Raise UsageError where codes have another length than those of the victim, or the collection is empty."""
        given = {"codes": self.codes, "fled": self.fled, "known": None if self.known is None else self.known.codes}
        for name, codes in given.items():
            if codes is not None and codes.shape[1] != num_bits:
                raise UsageError(f"{asker} has codes of {num_bits} bits; Aim({name}=...) has {codes.shape[1]}")
        if self.known is not None and not len(self.known.codes):
            raise UsageError("the collection that an attack knows is empty; give the codes of one item or more")

    @property
    def is_targeted(self) -> bool:
        """Whether labels or codes are aimed at."""
        return self.targets is not None or self.codes is not None


_TENSORS = ("labels", "targets", "codes", "known", "fled")


@dataclass(eq=False)
class Watch:
    """What happened during an attack, for flags.

    Attributes:
        gradients: pictures whose gradient was looked at, summed over steps.
        vanished: those of them whose gradient was zero everywhere.
        queries: answers of the victim that the attack used, summed over pictures.
        first: badness [B] of the clean pictures, see :class:`deephash.attacks.descent.Goal`.
        best: badness [B] of the returned ones.
    """

    gradients: int = 0
    vanished: int = 0
    queries: int = 0
    first: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Attack(ABC):
    """Changes pictures within a budget, so that their codes change.

    Args:
        epsilon: the largest change of any pixel, in units of the pixel range (8/255 is eight grey levels).
        steps: T; 0 returns the pictures as they are.
        seed: of everything random.
    """

    targeted: ClassVar[bool] = False  # cannot do without a target
    needs_gradient: ClassVar[bool] = True
    asks_database: ClassVar[bool] = False  # what it knows is the database that answers, not the training split

    epsilon: float = EPSILON
    steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        require_budget(self.epsilon)
        if not isinstance(self.steps, Integral) or self.steps < 0:
            raise UsageError(f"steps are a whole number, 0 or more, not {self.steps!r}")

    @property
    def budget(self) -> str:
        """The budget in the words of protocols."""
        return f"eps={fraction(self.epsilon)}"

    @final
    def perturb(
        self, model: Any, images: Tensor, target: Tensor | Aim | None = None, *, watch: Watch | None = None
    ) -> Tensor:
        """Return pictures [B, C, H, W] in [0, 1] within ``epsilon`` of ``images``, on their device.

        Weights, statistics and modes of the model are left as they are. The same picture gets the same perturbation
        alone and in a batch, for the same seed and item number.

        Args:
            model: a HashModel, or any function from pixels in [0, 1] to continuous codes [B, K].
            images: float pictures [B, C, H, W] in [0, 1].
            target: an :class:`Aim`, or codes [B, K] (or one [K]) that are aimed at, as signs.
            watch: filled with what happened.

        Raises:
            UsageError: pixels out of range, a missing target, a model without gradients.
        """
        require_pixels(images)
        victim = victim_of(model)
        with torch.inference_mode(False), torch.enable_grad():  # whoever calls may have switched gradients off
            aim = self.checked_aim(target, len(images)).to(victim.device)
            if self.epsilon == 0 or self.steps == 0:
                return images.clone()
            pictures = images.detach().clone().to(victim.device)
            with victim.evaluating():
                found = self.run(victim, pictures, aim, watch or Watch())
            return self._within_budget(found.detach().to(images.device), images.detach())

    @abstractmethod
    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Return changed pictures; the victim is in evaluation mode, and budget and range are checked afterwards."""

    def checked_aim(self, target: Tensor | Aim | None, count: int) -> Aim:
        """Return the aim of so many pictures. Raises UsageError where something is missing or too much."""
        aim = target if isinstance(target, Aim) else Aim(codes=target)
        if aim.codes is not None:
            aim = replace(aim, codes=_codes_of_all(aim.codes, count))
        if self.targeted and not aim.is_targeted:
            raise UsageError(f"{type(self).__name__} pulls pictures somewhere: give it a target (codes or labels)")
        for name in ("labels", "targets", "items", "fled"):
            given = getattr(aim, name)
            if given is not None and (found := _rows(given)) != count:
                raise UsageError(f"{count} pictures need as many {name}, not {found}")
        _require_one_kind_of_labels(aim)
        return replace(aim, items=range(count) if aim.items is None else [int(item) for item in aim.items])

    def _within_budget(self, found: Tensor, images: Tensor) -> Tensor:
        low, high = box(images, self.epsilon)
        if bool((found < low - _ROUNDING).any()) or bool((found > high + _ROUNDING).any()) or bool(found.isnan().any()):
            raise RuntimeError(f"{type(self).__name__} left its budget; this is a bug in the attack")
        return found


def _rows(column: Any) -> int:
    return 1 if isinstance(column, Tensor) and column.ndim == 0 else len(column)


def _codes_of_all(codes: Any, count: int) -> Tensor:
    """Return codes that are aimed at as signs [count, K], of one code or of one each."""
    if not isinstance(codes, Tensor) or codes.ndim not in (1, 2) or (codes.ndim == 2 and len(codes) not in (1, count)):
        given = list(codes.shape) if isinstance(codes, Tensor) else f"a {type(codes).__name__}"
        raise UsageError(f"codes aimed at are a tensor [K], or [{count}, K] for {count} pictures, not {given}")
    return sign(torch.atleast_2d(codes).float()).expand(count, -1)


def _require_one_kind_of_labels(aim: Aim) -> None:
    """Raise UsageError where labels do not compare, or a target has a class of no item of the collection."""
    known = None if aim.known is None else aim.known.labels
    for name in ("labels", "targets"):
        given = getattr(aim, name)
        if given is not None and known is not None and given.shape[1:] != known.shape[1:]:
            raise UsageError(
                f"{name} {list(given.shape)} and those of the collection {list(known.shape)} do not compare: give "
                "class numbers to both, or multi-hot rows over the same classes"
            )
    if aim.targets is not None and known is not None and len(known):
        useless = (~share_label(aim.targets.to(known.device), known).any(dim=1)).nonzero().flatten().tolist()
        if useless:
            raise UsageError(f"no item carries a class of target {useless[0]}, so nothing can be found: choose another")


def known_labels(aim: Aim, asker: str) -> tuple[Known, Tensor]:
    """Return codes and labels of the collection. Raises UsageError where ``aim`` lacks them."""
    if aim.known is None or aim.known.labels is None:
        raise UsageError(
            f"{asker} makes its guide code from labelled codes of the collection; give Aim(known=Known(...))"
        )
    return aim.known, aim.known.labels
