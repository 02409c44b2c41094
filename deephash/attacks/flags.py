"""Flags: when a figure of robustness deserves no trust. Each says what was seen, why it matters, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from deephash.attacks.victims import Victim

MANY_VANISHED = 0.5  # share of looks at a gradient that was zero everywhere
CLEARLY_LOWER = 0.02  # mAP by which one attack beats another beyond chance
NEAR_CHANCE = 0.1  # above the mAP of a random order, to which a full budget must lead


def gradient_flag(name: str, looked: int, vanished: int) -> Iterator[str]:
    """Yield a sentence where gradients vanished."""
    if looked and vanished / looked > MANY_VANISHED:
        yield (
            f"zero gradients: {vanished / looked:.0%} of the gradients of {name} were zero everywhere, so it went "
            "nowhere; outputs are saturated or rounded. Trust apgd (scaled outputs), square and transfer attacks"
        )


def randomness_flag(victim: Victim, images: Tensor) -> Iterator[str]:
    """Yield a sentence where the same pictures get different outputs."""
    with victim.evaluating(), torch.no_grad():
        first, second = victim.continuous(images), victim.continuous(images)
    if not torch.equal(first, second):
        yield (
            "randomness: the model gives the same picture different outputs, so one gradient says little; repeat the "
            "attack over several seeds, and attack the mean"
        )


def order_flag(scores: Mapping[str, float], white: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence where an attack without the model's gradients beats all that have them.

    Args:
        scores: attacked mAP of attacks without gradients (square, transfer).
        white: attacked mAP of white-box attacks.
    """
    if not scores or not white:
        return
    name, lowest = min(scores.items(), key=lambda item: item[1])
    best, strongest = min(white.items(), key=lambda item: item[1])
    if lowest < strongest - CLEARLY_LOWER:
        yield (
            f"{name} without gradients ({lowest:.3f}) is stronger than white-box {best} ({strongest:.3f}): gradients "
            "are masked, and the white-box figures say too much for this model"
        )


def curve_flag(curve: Mapping[float, float], chance: float) -> Iterator[str]:
    """Yield a sentence where even a budget of the whole range leaves more than chance, or more budget finds less.

    Args:
        curve: epsilon -> attacked mAP.
        chance: mAP of a random order.
    """
    if not curve:
        return
    budgets = sorted(curve)
    last = budgets[-1]
    if curve[last] > chance + NEAR_CHANCE:
        yield (
            f"the curve does not reach chance: with epsilon {last:g} mAP is {curve[last]:.3f}, by chance it is "
            f"{chance:.3f}; an attack that may change everything must win, so it was not strong enough"
        )
    for smaller, larger in pairwise(budgets):
        if curve[larger] > curve[smaller] + 2 * CLEARLY_LOWER:
            yield (
                f"more budget finds less: mAP is {curve[smaller]:.3f} at epsilon {smaller:.4g} and {curve[larger]:.3f} "
                f"at {larger:.4g}; the attack gets stuck, give it more steps or restarts"
            )
