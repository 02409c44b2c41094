"""The configurations that ship with deephash, found by a short name such as ``orthohash/digits_64``."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from deephash.errors import UsageError, did_you_mean


def config_folder() -> Path:
    """Return the folder of shipped configurations."""
    beside = Path(__file__).resolve().parents[2] / "configs"  # a checkout
    return beside if beside.is_dir() else Path(__file__).resolve().parents[1] / "configs"  # an installed wheel


def shipped_configs() -> list[str]:
    """Return the names of all shipped configurations."""
    folder = config_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find_config(name: str) -> Path:
    """Return the file of a configuration given by path or by short name. Raises UsageError with a suggestion."""
    given = Path(name).expanduser()
    if given.is_file():
        return given
    short = name.removeprefix("configs/").removesuffix(".yaml")
    shipped = config_folder() / f"{short}.yaml"
    if shipped.is_file():
        return shipped
    raise UsageError(
        f"no configuration {name!r}: neither a file nor one that ships"
        f"{did_you_mean(short, _near(short))}. All: deephash train --list"
    )


def _near(name: str) -> list[str]:
    """Return the shipped names worth listing: of the same method, else the most alike, else the first ones."""
    names = shipped_configs()
    method = name.split("/")[0]
    same = [each for each in names if each.startswith(f"{method}/")]
    return same or get_close_matches(name, names, n=5, cutoff=0.5) or names[:20]
