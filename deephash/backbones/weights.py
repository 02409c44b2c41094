"""Finding, reading and loading pretrained weights from local files; nothing that is read can run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deephash.errors import DataError, UsageError, WeightsNotFound

_SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")


def names_a_file(weights: str) -> bool:
    """Say whether ``weights`` means a local file, rather than ``hub`` or a tag."""
    return weights.endswith(_SUFFIXES) or os.sep in weights


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


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or a state dict. Raises DataError where it is neither."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise nearly anything
        reason = _reason(error)
        raise DataError(
            f"{path} is neither a safetensors file nor a state dict of tensors alone: {reason}. Files that need code "
            "to be read are refused"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise DataError(f"{path} holds no state dict")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # torch's own words tell people to run the code of the file
        return "it is damaged, of another kind, or holds more than tensors"
    return str(error).split("\n")[0]


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Load ``path`` into ``network``; a classifier in the file that the network has not is left out.

    Raises:
        UsageError: tensors that the network needs are missing or have other shapes.
    """
    state, wanted = read_state(path), network.state_dict()
    wrong = [
        f"{key} {'is missing' if key not in state else f'is {list(state[key].shape)}, not {list(tensor.shape)}'}"
        for key, tensor in wanted.items()
        if not key.endswith("num_batches_tracked") and (key not in state or state[key].shape != tensor.shape)
    ]
    if wrong:
        raise UsageError(
            f"{path} does not fit the backbone {name}: {len(wrong)} of {len(wanted)} tensors differ, first {wrong[0]}. "
            "Check the backbone's name and options"
        )
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in wanted.items()})
