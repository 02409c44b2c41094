"""Reading and loading pretrained weights from local files; nothing that is read can run code."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deephash.errors import DataError, UsageError

# Where checkpoints keep the state dict; averaged weights, which are the better ones, first.
_CONTAINERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net",
)
_COUNTERS = "num_batches_tracked"


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
    tensors = _tensors_in(content)
    if not tensors:
        raise DataError(f"{path} holds no state dict")
    return {name.replace("_orig_mod.", ""): tensor for name, tensor in tensors.items()}  # torch.compile's


def _tensors_in(content: Any) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint: itself, or what lies under one of the usual names, averaged ones first."""
    if not isinstance(content, dict):
        return {}
    for key in _CONTAINERS:
        inner = content.get(key)
        if isinstance(inner, dict) and (found := _tensors_in(inner)):
            return found
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # torch's own words tell people to run the code of the file
        return "it is damaged, of another kind, or holds more than tensors"
    return str(error).split("\n")[0]


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Load ``path`` into ``network``; a classifier in the file that the network has not is left out.

    What wraps the names in the file (``module.``, ``model.``, ``net.backbone.``, ...) is taken off where everything the
    network needs is there without it.

    Raises:
        UsageError: tensors that the network needs are missing, have other shapes, or hold NaN.
    """
    wanted = {key: tensor for key, tensor in network.state_dict().items() if not key.endswith(_COUNTERS)}
    state = unwrapped(read_state(path), wanted, path)
    wrong = [key for key, tensor in wanted.items() if not _fits(state, key, tensor)]
    if wrong:
        raise UsageError(
            f"{path} does not fit the backbone {name}: {len(wrong)} of {len(wanted)} tensors differ, first "
            f"{_difference(wrong[0], wanted, state)}. Check the backbone's name and options"
        )
    require_finite_weights({key: state[key] for key in wanted}, path)
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in network.state_dict().items()})


def require_finite_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UsageError where a tensor holds NaN or infinity."""
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise UsageError(
            f"{path}: {len(broken)} of {len(state)} tensors hold NaN or infinity, first {broken[0]}; its training "
            "diverged, or the file is damaged. Take an earlier checkpoint"
        )


def unwrapped(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> Mapping[str, Tensor]:
    """Take off the prefix behind which everything in ``wanted`` stands; leave the names where there is none.

    Raises:
        UsageError: several prefixes would do, and lead to different tensors.
    """
    if not wanted or all(key in state for key in wanted):
        return state
    some = next(iter(wanted))
    behind = [key.removesuffix(some) for key in state if key.endswith(f".{some}")]
    fitting = [prefix for prefix in behind if all(_fits(state, prefix + key, wanted[key]) for key in wanted)]
    if not fitting:
        return state
    first, *others = ({key: state[prefix + key] for key in wanted} for prefix in fitting)
    if any(not torch.equal(first[key], other[key]) for other in others for key in wanted):
        raise UsageError(
            f"{path} holds several networks that fit, below {', '.join(map(repr, fitting))}; save the one that is "
            "meant as a file of its own"
        )
    prefix = fitting[0]
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _fits(state: Mapping[str, Tensor], key: str, tensor: Tensor) -> bool:
    return key in state and state[key].shape == tensor.shape


def _difference(key: str, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    if key in state:
        return f"{key} is {list(state[key].shape)}, not {list(wanted[key].shape)}"
    unclaimed = [name for name in state if name not in wanted]
    close = difflib.get_close_matches(key, unclaimed or list(state), n=1, cutoff=0.0)
    return f"{key} is missing" + (f", the nearest name in the file is {close[0]}" if close else "")
