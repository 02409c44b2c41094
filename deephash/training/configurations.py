"""The configurations that ship with deephash, found by a short name such as ``orthohash/digits_64``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

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


# What stands in them ---------------------------------------------------------------------------------


def read_settings(path: Path) -> dict[str, Any]:
    """Return what a configuration says. Raises UsageError naming the file where it is no YAML or holds no settings."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not a YAML configuration: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings; a configuration has the keys model, data and trainer")
    return content


def without_replaced_data(contents: Mapping[Path, dict[str, Any]], words: Sequence[str]) -> list[str]:
    """Return each file's path, or its text without the options of a data set that another one replaces.

    Options of the same name mean other things elsewhere: ``root: fashion`` must not become the folder of CIFAR-10.
    """
    named = [_class_of_data(content) for content in contents.values()]
    chosen = [name for name in [*named, _class_in(words)] if name is not None]
    return [
        _text_without_options(content) if name is not None and name != chosen[-1] else str(path)
        for (path, content), name in zip(contents.items(), named)
    ]


def _class_of_data(content: Mapping[str, Any]) -> str | None:
    data = content.get("data")
    path = data.get("class_path") if isinstance(data, dict) else data
    return path.rpartition(".")[2] if isinstance(path, str) else None


def _class_in(words: Sequence[str]) -> str | None:
    """Return the class that the last ``--data=X`` or ``--data.class_path X`` names."""
    pairs = [word.partition("=") for word in words]
    for place in reversed(range(len(pairs))):
        name, equals, value = pairs[place]
        if name in ("--data", "--data.class_path"):
            given = value if equals else words[place + 1] if place + 1 < len(words) else ""
            return given.rpartition(".")[2]
    return None


def _text_without_options(content: Mapping[str, Any]) -> str:
    data = content["data"]
    kept = {key: value for key, value in data.items() if key != "init_args"} if isinstance(data, dict) else data
    text: str = yaml.safe_dump({**content, "data": kept})
    return text
