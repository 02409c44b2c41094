"""How steep the tanh is while an attack runs: a flat one keeps gradients alive where codes are saturated."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from deephash.errors import UsageError, did_you_mean

Schedule: TypeAlias = Literal["ten", "dhta", "constant", "scaled"]

_TENTHS = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_DHTA = ((1000, 0.1), (1200, 0.2), (1400, 0.3), (1600, 0.5), (1800, 0.7))


def sharpness(schedule: Schedule, step: int, steps: int) -> float:
    """Return a of ``u = tanh(a v)`` at ``step`` of ``steps``, counted from 0.

    Args:
        schedule: ``ten`` goes .1 .1 .1 .1 .1 .2 .3 .5 .7 1 by tenths of the run (SAAT's release); ``dhta`` holds .1
            for 1,000 steps and rises to 1 at 1,800 (DHTA, ECCV 2020, made for 2,000 steps); ``constant`` is 1;
            ``scaled`` is 1 over the mean size of the clean picture's own codes (the loop divides), so that no model
            hides behind large outputs.
        step: i.
        steps: T.
    """
    require_schedule(schedule)
    if schedule in ("constant", "scaled"):
        return 1.0
    if schedule == "dhta":
        return next((value for end, value in _DHTA if step < end), 1.0)
    return _TENTHS[min(9, 10 * step // max(steps, 1))]


def require_schedule(name: str) -> None:
    """Raise UsageError for an unknown schedule."""
    if name not in get_args(Schedule):
        raise UsageError(f"no schedule of the tanh is called {name!r}{did_you_mean(name, list(get_args(Schedule)))}")
