"""Attacks on hash models, and what withstands them: pictures in [0, 1] whose codes are moved within a budget."""

from deephash.attacks.base import Aim, Attack, Known, Watch
from deephash.attacks.defences import ATRDH, SAAT, CgAT, NoiseTraining
from deephash.attacks.descent import Goal, GradientAttack
from deephash.attacks.methods import DHTA, HAG, P2P, PGD, SDHA, AutoPGD, Collide, Evade, Mainstay, as_published
from deephash.attacks.patch import Patch
from deephash.attacks.prosgan import ProSGAN
from deephash.attacks.smoothing import Smoothed, smoothed_codes
from deephash.attacks.square import Square
from deephash.attacks.tha import THA
from deephash.attacks.universal import Universal
from deephash.attacks.victims import Victim, victim_of

__all__ = [
    "ATRDH", "DHTA", "HAG", "P2P", "PGD", "SAAT", "SDHA", "THA", "Aim", "Attack", "AutoPGD", "CgAT", "Collide", "Evade",
    "Goal", "GradientAttack", "Known", "Mainstay", "NoiseTraining", "Patch", "ProSGAN", "Smoothed", "Square",
    "Universal", "Victim", "Watch", "as_published", "smoothed_codes", "victim_of",
]  # fmt: skip
