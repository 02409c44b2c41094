"""Attacks by the names that the command line and the page know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any, Literal

from deephash.attacks.base import Attack
from deephash.attacks.methods import DHTA, HAG, P2P, PGD, SDHA, AutoPGD, Collide, Evade, Mainstay
from deephash.attacks.patch import Patch
from deephash.attacks.prosgan import ProSGAN
from deephash.attacks.square import Square
from deephash.attacks.steps import APGD, BIM, DI, MI, NI, SINI, VMI, StepRule
from deephash.attacks.tha import THA
from deephash.attacks.universal import Universal
from deephash.errors import UsageError, did_you_mean
from deephash.foreign.trust import named_object

Reach = Literal["away", "either", "label", "code"]


@dataclass(frozen=True)
class Entry:
    """One attack that can be asked for.

    Attributes:
        make: the class; its fields are the options.
        aims: ``away`` flees only; ``label`` pulls to a label only; ``either`` does both; ``code`` takes a given code.
        needs_labels: makes its guide code from labelled codes.
        says: one line for a list.
        one_target: learns one change for all pictures, so that all are pulled to the same label or code.
    """

    make: type[Attack]
    aims: Reach
    needs_labels: bool
    says: str
    one_target: bool = False


ATTACKS: dict[str, Entry] = {
    "pgd": Entry(PGD, "away", False, "turns the picture's own code (--rule bim, mi, ni, si-ni, di, vmi)"),
    "apgd": Entry(AutoPGD, "away", False, "PGD whose step adapts to each picture; the strongest without labels"),
    "hag": Entry(HAG, "away", False, "turns every bit of the own code (TCYB 2018)"),
    "sdha": Entry(SDHA, "either", True, "flees every relevant item, or pulls to the target's (ICMR 2021)"),
    "mainstay": Entry(Mainstay, "either", True, "flees the mainstay code of the own labels, or pulls to one (SAAT)"),
    "p2p": Entry(P2P, "label", True, "pulls to the code of one item of the target (ECCV 2020)"),
    "dhta": Entry(DHTA, "label", True, "pulls to the majority code of nine items of the target (ECCV 2020)"),
    "tha": Entry(THA, "label", True, "pulls to a learned prototype of the target (SIGIR 2021)"),
    "prosgan": Entry(ProSGAN, "label", True, "one pass of a generator that is trained first (CVPR 2021)"),
    "universal": Entry(Universal, "either", False, "adds one perturbation to all, learned first (CVPR 2017)", True),
    "patch": Entry(Patch, "either", False, "lays one printable patch on all, learned first (--patch-size)", True),
    "square": Entry(Square, "either", False, "asks for neighbours and sees distances only (ECCV 2020)"),
    "collide": Entry(Collide, "code", False, "takes the code of another picture or phrase"),
    "evade": Entry(Evade, "away", False, "leaves the radius of near-duplicates"),
}

RULES: dict[str, StepRule] = {
    "bim": BIM(),
    "pgd": BIM(),
    "mi": MI(),
    "ni": NI(),
    "si-ni": SINI(),
    "di": DI(),
    "vmi": VMI(),
    "apgd": APGD(),
}


def entry_named(name: str) -> Entry:
    """Return an attack by its name, or by ``MODULE.CLASS`` of a trusted module.

    Raises:
        UsageError: an unknown one, with near names; nobody trusts the module; or it is no attack.
    """
    if "." in name:
        return _own(named_object(name, f"the attack {name}"), name)
    if name not in ATTACKS:
        raise UsageError(f"no attack is called {name!r}{did_you_mean(name, list(ATTACKS))}")
    return ATTACKS[name]


def _own(found: Any, name: str) -> Entry:
    """Return the entry of a class of one's own, which may say ``reach`` and ``needs_labels`` beside ``targeted``."""
    if not isinstance(found, type) or not issubclass(found, Attack) or not is_dataclass(found):
        raise UsageError(
            f"{name} is no attack: that is a frozen dataclass below deephash.attacks.Attack, such as a GradientAttack "
            "with a goal(); deephash new attack NAME writes one"
        )
    reach: Reach = getattr(found, "reach", "label" if found.targeted else "away")
    says = (found.__doc__ or name).split("\n")[0]
    return Entry(found, reach, bool(getattr(found, "needs_labels", found.targeted)), says)


def make_attack(name: str, *, rule: str | None = None, **options: Any) -> Attack:
    """Return an attack by its name; options left None keep the method's own.

    Raises:
        UsageError: an unknown attack or rule, or an option that it does not take.
    """
    entry = entry_named(name)
    given = {key: value for key, value in options.items() if value is not None}
    if rule is not None:
        if rule not in RULES:
            near = did_you_mean(rule, list(RULES))
            raise UsageError(f"no step rule is called {rule!r}{near}")
        given["rule"] = RULES[rule]
        if rule == "bim":
            given.setdefault("random_start", False)
        if rule == "apgd":
            given.setdefault("schedule", "scaled")
    known = {each.name for each in fields(entry.make)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"the attack {name} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return entry.make(**given)


def read_epsilon(text: str) -> float:
    """Return a budget that was written as ``8/255`` or ``0.03``. Raises UsageError for anything else."""
    try:
        value = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"epsilon is a share of the pixel range, such as 8/255 or 0.03, not {text!r}") from None
    if not 0 <= value <= 1:
        hint = f": {text}/255?" if 1 < value <= 255 else ""
        raise UsageError(f"epsilon is a share of the pixel range, from 0 to 1, not {text}{hint}")
    return value


def describe(name: str, attack: Attack) -> Mapping[str, Any]:
    """Return an attack with its options as JSON values, so that a folder knows what it holds."""
    options = {each.name: getattr(attack, each.name) for each in fields(attack) if each.compare}
    return {"attack": name} | {key: _plain(value) for key, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, StepRule):
        return {"rule": type(value).__name__} | {each.name: getattr(value, each.name) for each in fields(value)}
    return value
