"""Presets: where the paper and the released code of a method disagree, each side has a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from deephash.errors import UsageError, did_you_mean

Constants = TypeVar("Constants")


def choose(presets: Mapping[str, Constants], name: str, overrides: Mapping[str, Any]) -> Constants:
    """Return the constants of the preset ``name`` with those ``overrides`` that are not None.

    Raises:
        UsageError: no preset has this name.
    """
    if name not in presets:
        raise UsageError(f"unknown preset {name!r}" + did_you_mean(name, list(presets)))
    given = {key: value for key, value in overrides.items() if value is not None}
    chosen: Constants = replace(presets[name], **given)  # type: ignore[type-var]
    return chosen
