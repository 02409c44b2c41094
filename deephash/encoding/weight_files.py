"""Where weights of networks lie on this machine, found without torch."""

from __future__ import annotations

import os
from pathlib import Path

from deephash.errors import WeightsNotFound

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")


def names_a_file(weights: str) -> bool:
    """Say whether ``weights`` means a local file, rather than ``hub`` or a tag."""
    return weights.endswith(WEIGHT_SUFFIXES) or "/" in weights or "\\" in weights


def weight_folders() -> list[Path]:
    """Return where files given by a bare name are looked for: here, ``$DEEPHASH_WEIGHTS``, and the user's cache."""
    chosen = [Path(part) for part in os.environ.get("DEEPHASH_WEIGHTS", "").split(os.pathsep) if part]
    return [Path(), *chosen, Path.home() / ".cache" / "deephash" / "weights"]


def find_weights(name: str) -> Path:
    """Return the weight file called ``name``. Raises WeightsNotFound naming every place that was looked at."""
    candidates = [folder / Path(name).expanduser() for folder in weight_folders()]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = ", ".join(dict.fromkeys(str(candidate.absolute()) for candidate in candidates))
    raise WeightsNotFound(
        f"weights {name} are not on this machine (looked at {places}). Copy the file to one of these places, or set "
        "DEEPHASH_WEIGHTS to the folder that holds it"
    )


def weights_called(beginning: str) -> Path | None:
    """Return a weight file here whose name begins so, such as ``resnet18``; the first by folder and name, or None.

    The current folder is not looked at: what lies there by chance is no choice of anybody.
    """
    for folder in weight_folders()[1:]:
        found = folder.glob(f"{beginning}[._-]*") if folder.is_dir() else ()  # resnet18d is another network
        for path in sorted(each for each in found if each.name.endswith(WEIGHT_SUFFIXES) and each.is_file()):
            return path
    return None
