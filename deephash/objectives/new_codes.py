"""Codes of new items, solved discretely beside a network that moves little (DLCH, phase 2; the update is ADSH's).

    min over V in {-1, 1} of |K S - U V'|^2 + alpha sum_j |v_j - u_j|^2, the second sum over the items that U is of too

[C] and [R] as in :mod:`deephash.objectives.dlch`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deephash.errors import UsageError
from deephash.objectives.signs import sign


@dataclass(frozen=True)
class NewCodes:
    """What :func:`solve_new_codes` found.

    Attributes:
        codes: V [n, K] in +-1, of the dtype of U.
        objectives: of the start and after every sweep, never rising but for rounding; sweep s is at place s. With
            restarts the last is that of the best codes of all.
    """

    codes: Tensor
    objectives: tuple[float, ...]


def solve_new_codes(
    outputs: Tensor,
    similar: Tensor,
    start: Tensor,
    *,
    own: Tensor | None = None,
    among: Tensor | None = None,
    alpha: float = 10.0,
    sweeps: int = 1,
    restarts: int = 0,
    seed: int = 0,
) -> NewCodes:
    """Descend one bit of all items after the other: v_t <- sgn(p_t - V_rest (U_rest' u_t)), sgn(0) = +1 [R].

    P = K S' U + alpha U_own, where rows of U_own are zero for items that U is not of. Each bit is set to its best value
    while the others stand, so the objective cannot rise; items do not touch each other.

    Args:
        outputs: U [m, K] of the items of Omega; DLCH gives tanh of the network's outputs [C].
        similar: S [m, n] between those and the n items to be coded.
        start: codes [n, K] in +-1 to begin with: the last ones, or :func:`initial_codes`.
        own: u_j [n, K], of the items to be coded; None leaves alpha's term out, as the release does by mistake [C].
        among: bool [n], which of them ``own`` holds; None is all.
        alpha: see above.
        sweeps: over all bits; one in an epoch of DLCH [C].
        restarts: further random starts, of which each item keeps its best codes. One descent ends where no single bit
            helps, which need not be the best code.
        seed: of the restarts.

    Raises:
        UsageError: shapes that do not fit.
    """
    _require_shapes(outputs, similar, start, own)
    bits = outputs.shape[1]
    gram = outputs.T @ outputs
    pulled = bits * similar.to(outputs).T @ outputs
    constant = (bits * similar.to(outputs)).square().sum()
    if own is not None:
        kept = own if among is None else own * among[:, None]
        pulled = pulled + alpha * kept
        count = len(own) if among is None else int(among.sum())
        constant = constant + alpha * (count * bits + kept.square().sum())
    codes, objectives = sign(start.to(outputs)), []
    objectives.append(float(constant + _costs(codes, gram, pulled).sum()))
    for _ in range(sweeps):
        _sweep(codes, gram, pulled)
        objectives.append(float(constant + _costs(codes, gram, pulled).sum()))
    if restarts:
        codes = _best_of_many(codes, gram, pulled, sweeps, restarts, seed)
        objectives.append(float(constant + _costs(codes, gram, pulled).sum()))
    return NewCodes(codes, tuple(objectives))


def initial_codes(outputs: Tensor) -> Tensor:
    """Return sgn of the outputs [n, K] of the network before it learns: a sane point to begin at [R]."""
    return sign(outputs)


def random_codes(count: int, num_bits: int, *, seed: int) -> Tensor:
    """Return random signs [count, num_bits], what the release begins with [C]."""
    drawn = torch.randint(0, 2, (count, num_bits), generator=torch.Generator().manual_seed(seed))
    return 2.0 * drawn - 1.0


def shared_codes(image: Tensor, text: Tensor, image_outputs: Tensor, text_outputs: Tensor) -> Tensor:
    """Return one code [n, K] in +-1 a pair: the bits both agree on, elsewhere the sign of the sum of the outputs [R].

    Args:
        image: Vx [n, K] in +-1.
        text: Vy [n, K].
        image_outputs: of the picture network for these items, [n, K].
        text_outputs: of the text network.
    """
    agreed = image + text
    return sign(torch.where(agreed == 0, image_outputs + text_outputs, agreed))


def released_shared_codes(image: Tensor, text: Tensor) -> Tensor:
    """Return sgn(Vx + Vy) [n, K] as released: **0** wherever the two disagree, so no binary code [C]."""
    return torch.sign(image + text)


# Descent ---------------------------------------------------------------------------------------------


def _sweep(codes: Tensor, gram: Tensor, pulled: Tensor) -> None:
    """Set every bit of ``codes`` once, in place."""
    for bit in range(codes.shape[1]):
        others = codes @ gram[:, bit] - codes[:, bit] * gram[bit, bit]
        codes[:, bit] = sign(pulled[:, bit] - others)


def _costs(codes: Tensor, gram: Tensor, pulled: Tensor) -> Tensor:
    """Return what each item's code adds to the objective, [n]."""
    return ((codes @ gram - 2 * pulled) * codes).sum(dim=1)


def _best_of_many(codes: Tensor, gram: Tensor, pulled: Tensor, sweeps: int, restarts: int, seed: int) -> Tensor:
    least, generator = _costs(codes, gram, pulled), torch.Generator().manual_seed(seed)
    for _ in range(restarts):
        drawn = 2 * torch.randint(0, 2, codes.shape, generator=generator).to(codes) - 1
        for _ in range(sweeps):
            _sweep(drawn, gram, pulled)
        costs = _costs(drawn, gram, pulled)
        codes = torch.where((costs < least)[:, None], drawn, codes)
        least = torch.minimum(least, costs)
    return codes


def _require_shapes(outputs: Tensor, similar: Tensor, start: Tensor, own: Tensor | None) -> None:
    items, bits = len(start), outputs.shape[-1]
    if outputs.ndim != 2 or similar.shape != (len(outputs), items) or start.shape != (items, bits):
        raise UsageError(
            "outputs are [m, K], similarities [m, n] and codes [n, K], not "
            f"{list(outputs.shape)}, {list(similar.shape)} and {list(start.shape)}"
        )
    if own is not None and own.shape != start.shape:
        raise UsageError(f"own outputs are {list(start.shape)}, as the codes are, not {list(own.shape)}")
