"""The recipe of a run: its configuration without what may differ between repetitions, that is seeds and places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deephash.data.building import read_configuration
from deephash.errors import DeephashError

_SEEDS = {"seed_everything", *(f"model.init_args.{name}" for name in ("seed", "target_seed", "centre_seed"))}
_PLACES = {  # where it ran and where its files lay; another split would show in the protocol
    "data.init_args.root",
    "data.init_args.num_workers",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.default_root_dir",
    "trainer.logger",
    "expected",
}


def recipe_of(run: str | Path) -> dict[str, Any] | None:
    """Return {path into the configuration: value} of a run, seeds and places left out; None without a configuration."""
    settings = _settings(Path(run))
    if settings is None:
        return None
    flat = _flat(settings)
    apart = _SEEDS | _PLACES
    return {name: value for name, value in flat.items() if value is not None and name not in apart}


def seed_of(run: str | Path) -> int | None:
    """Return the seed a run was trained with; None where nothing says so."""
    seed = (_settings(Path(run)) or {}).get("seed_everything")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def origin_of(run: str | Path) -> dict[str, str]:
    """Return ``seed`` and ``recipe`` (a checksum) as a report keeps them; empty for what is no run."""
    recipe, seed = recipe_of(run), seed_of(run)
    if recipe is None or seed is None:
        return {}
    text = json.dumps(recipe, sort_keys=True, default=str)
    return {"seed": str(seed), "recipe": f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"}


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {path: (mine, theirs)} of what differs between two recipes."""
    names = sorted(mine.keys() | theirs.keys())
    return {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}


def _settings(run: Path) -> dict[str, Any] | None:
    file = run / "config.yaml"
    if not file.is_file():
        return None
    try:
        settings = read_configuration(file)
    except DeephashError:  # said by who builds the data set from it
        return None
    return settings if isinstance(settings, dict) else None


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{before}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found
