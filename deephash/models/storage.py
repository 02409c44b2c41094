"""A model on disk: ``model.json`` + ``model.safetensors`` + ``README.md``; nothing in the folder can run code.

``model.json`` names a class of :mod:`deephash.models` and its constructor's arguments as plain JSON. The weights, those
of the backbone included, lie beside it: a model folder works without network and without the files it came from.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import tempfile
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file

from deephash.backbones import Backbone, Encoder
from deephash.codes import BinaryCodes
from deephash.collection.seen import SeenItems
from deephash.errors import CollectionDamaged, FormatTooNew, UsageError, did_you_mean
from deephash.models.base import HashModel, ObjectiveHashModel
from deephash.models.optimizers import Optimizer
from deephash.version import __version__

FORMAT_VERSION = 1
JSON_NAME, TENSORS_NAME, CODES_NAME, CARD_NAME = "model.json", "model.safetensors", "learned_codes.npz", "README.md"


# Saving --------------------------------------------------------------------------------------------


def save_model(model: HashModel, directory: Path) -> None:
    """Write ``model`` into ``directory``; an older model there is replaced only once the new one is complete."""
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        _write(model, fresh)
        _swap(fresh, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write(model: HashModel, folder: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / TENSORS_NAME)
    for modality, encoder in model.encoders.items():
        if has_assets(encoder):
            (folder / "assets" / modality).mkdir(parents=True)
            encoder.save_assets(folder / "assets" / modality)
    if model.learned_codes is not None:
        model.learned_codes.save(folder / CODES_NAME)
    if model.seen is not None:
        model.seen.save(folder)
    record = describe(model) | {"weights_sha256": _sha256(folder / TENSORS_NAME)}
    (folder / JSON_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf8")
    (folder / CARD_NAME).write_text(_card(record), encoding="utf8")
    folder.chmod(0o755)  # mkdtemp gives 0700, which would hide the model from other users


def _swap(fresh: Path, directory: Path) -> None:
    retired = directory.with_name(f".{directory.name}.old")
    if directory.exists():
        shutil.rmtree(retired, ignore_errors=True)
        os.replace(directory, retired)
    os.replace(fresh, directory)
    shutil.rmtree(retired, ignore_errors=True)


def describe(model: HashModel) -> dict[str, Any]:
    """Return what ``model.json`` says about ``model``."""
    return {
        "format_version": FORMAT_VERSION,
        "deephash": __version__,
        "class": type(model).__name__,
        "num_bits": model.num_bits,
        "num_levels": model.num_levels,
        "modalities": list(model.encoders),
        "supervised": type(model).supervised,
        "fingerprint": model.fingerprint(),
        "init_args": model.init_args(),
    }


def _card(record: Mapping[str, Any]) -> str:
    return (
        f"# {record['class']}, {record['num_bits']} bits\n\n"
        f"A hash model written by deephash {record['deephash']}; fingerprint `{record['fingerprint']}`.\n"
        f"It reads: {', '.join(record['modalities'])}.\n\n"
        '```python\nfrom deephash import load_model\n\nmodel = load_model("this folder")\n```\n\n'
        f"```json\n{json.dumps(record['init_args'], indent=2)}\n```\n"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Constructor arguments as JSON ---------------------------------------------------------------------


def jsonable_init_args(model: HashModel) -> dict[str, Any]:
    """Return the constructor's arguments as JSON values; backbones resolved, and without weight files.

    Arguments that describe backbones are called ``backbone``, ``<modality>_backbone`` or ``backbones`` (a mapping).
    """
    known = inspect.signature(type(model).__init__).parameters
    return {name: _jsonable(name, value, model) for name, value in model.hparams.items() if name in known}


def _jsonable(name: str, value: Any, model: HashModel) -> Any:
    if name == "backbones":
        return {modality: _plain(_resolved(encoder)) for modality, encoder in model.encoders.items()}
    if name == "backbone" or name.endswith("_backbone"):
        modality = name.removesuffix("backbone").rstrip("_") or next(iter(model.encoders))
        return _plain(_resolved(model.encoders[modality])) if modality in model.encoders else None
    if isinstance(value, Optimizer) and isinstance(model, ObjectiveHashModel):
        value = model.optimizer  # with what the method lays below it
    try:
        plain = _plain(value)
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(
            f"{type(model).__name__}({name}=...) must be plain JSON so that the model can be saved, not "
            f"{type(value).__name__}; arrays belong into a buffer"
        ) from None
    return plain


def _resolved(encoder: Encoder) -> Backbone:
    return replace(encoder.spec, weights=None)


def _plain(value: Any) -> Any:
    """Return dataclasses as dicts, tuples as lists and paths as strings, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def identity(model: HashModel) -> str:
    """Return, as one string, the arguments that codes depend on besides the weights.

    Left out are the optimiser and whatever has its default value: a later version that adds an option must not change
    the fingerprints of the models that exist.
    """
    parameters = inspect.signature(type(model).__init__).parameters
    args = {name: value for name, value in model.init_args().items() if not isinstance(model.hparams[name], Optimizer)}
    chosen = {name: value for name, value in args.items() if value != _plain(parameters[name].default)}
    blank = _plain(Backbone(weights=None))
    for name, value in chosen.items():
        if isinstance(value, dict) and value.keys() == blank.keys():
            chosen[name] = {key: item for key, item in value.items() if item != blank[key] and key != "frozen"}
    return json.dumps([type(model).__name__, chosen, _assets(model)], sort_keys=True)


def has_assets(encoder: Encoder) -> bool:
    """Say whether the encoder keeps more than tensors, such as a vocabulary."""
    return type(encoder).save_assets is not Encoder.save_assets


def _assets(model: HashModel) -> dict[str, str]:
    digests: dict[str, str] = {}
    for modality, encoder in model.encoders.items():
        if has_assets(encoder):
            with tempfile.TemporaryDirectory() as folder:
                encoder.save_assets(Path(folder))
                digests |= {f"{modality}/{path.name}": _sha256(path) for path in sorted(Path(folder).iterdir())}
    return digests


# Loading -------------------------------------------------------------------------------------------


def load_model(directory: str | Path) -> HashModel:
    """Load a model folder written by :meth:`HashModel.save`, in evaluation mode on the CPU.

    Only classes exported by :mod:`deephash.models` are built, so a downloaded folder cannot run code.

    Raises:
        CollectionDamaged: files are missing, inconsistent or changed.
        FormatTooNew: written by a newer deephash.
    """
    folder = Path(directory)
    _recover(folder)
    record = read_record(folder)
    cls = _class_named(record["class"], folder)
    model = _build(cls, record, folder)
    model.load_state_dict(_tensors(model, record, folder))
    for modality, encoder in model.encoders.items():
        if has_assets(encoder):
            encoder.load_assets(folder / "assets" / modality)
    if (folder / CODES_NAME).exists():
        model.learned_codes = BinaryCodes.load(folder / CODES_NAME)
    model.seen = SeenItems.load(folder)
    model.eval()
    return model


def read_record(directory: str | Path) -> dict[str, Any]:
    """Return the content of ``model.json``, checked. Raises CollectionDamaged or FormatTooNew."""
    path = Path(directory) / JSON_NAME
    try:
        record = json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise CollectionDamaged(
            f"{directory} is not a model folder: {JSON_NAME} is missing. `deephash train` writes one to RUN/model"
        ) from None
    except (OSError, ValueError) as error:
        raise CollectionDamaged(f"{path} cannot be read: {error}. Train again or copy the folder again") from None
    needed = {"format_version", "class", "init_args", "weights_sha256"}
    missing = needed - set(record if isinstance(record, dict) else ())
    if missing:
        raise CollectionDamaged(f"{path} lacks {', '.join(sorted(missing))}; copy the model folder again")
    if record["format_version"] > FORMAT_VERSION:
        raise FormatTooNew(
            f"{directory} has model format {record['format_version']}; deephash {__version__} reads up to "
            f"{FORMAT_VERSION}. Upgrade: pip install --upgrade deephash"
        )
    return dict(record)


def _recover(folder: Path) -> None:
    """Bring back the older model where a crash struck between the two renames of a replacement."""
    retired = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and (retired / JSON_NAME).exists():
        os.replace(retired, folder)


def _class_named(name: str, folder: Path) -> type[HashModel]:
    import deephash.models as models

    candidates = {key: getattr(models, key) for key in models.__all__}
    methods = {
        key: value
        for key, value in candidates.items()
        if isinstance(value, type) and issubclass(value, HashModel) and not inspect.isabstract(value)
    }
    if name not in methods:
        raise UsageError(
            f"{folder / JSON_NAME} names the class {name!r}, which is not one of deephash.models"
            + did_you_mean(str(name), sorted(methods))
        )
    return methods[name]


def _build(cls: type[HashModel], record: Mapping[str, Any], folder: Path) -> HashModel:
    hints = typing.get_type_hints(cls.__init__)
    given = record["init_args"]
    unknown = sorted(set(given) - set(inspect.signature(cls.__init__).parameters))
    if unknown:
        raise CollectionDamaged(f"{folder / JSON_NAME}: {cls.__name__} has no argument {', '.join(unknown)}")
    try:
        return cls(**{name: revive(hints.get(name), value) for name, value in given.items()})
    except TypeError as error:
        raise CollectionDamaged(f"{folder / JSON_NAME}: {cls.__name__} cannot be built: {error}") from None


def revive(hint: Any, value: Any) -> Any:
    """Turn a JSON ``value`` back into what a parameter annotated ``hint`` takes: dataclasses and tuples."""
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        able = [arg for arg in args if is_dataclass(arg) or typing.get_origin(arg) in (tuple, Mapping, dict)]
        return revive(able[0], value) if able and isinstance(value, (dict, list)) else value
    if is_dataclass(hint) and isinstance(hint, type):
        inner = typing.get_type_hints(hint)
        return hint(**{key: revive(inner.get(key), item) for key, item in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict) and len(args) == 2:
        return {key: revive(args[1], item) for key, item in value.items()}
    return value


def _tensors(model: HashModel, record: Mapping[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    path = folder / TENSORS_NAME
    try:
        if _sha256(path) != record["weights_sha256"]:
            raise CollectionDamaged(f"{path} is not the file that {JSON_NAME} describes; copy the model folder again")
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CollectionDamaged(f"{path} cannot be read: {error}; copy the model folder again") from None
    _fit_buffers(model, tensors)
    here, there = model.state_dict(), tensors
    wrong = sorted(set(here) ^ set(there)) + [k for k in here if k in there and here[k].shape != there[k].shape]
    if wrong:
        raise CollectionDamaged(f"{path} does not fit {record['class']}: {', '.join(wrong[:5])}; copy the folder again")
    return tensors


def _fit_buffers(model: HashModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give buffers the shape they were saved with: means and anchors are sized by the data, not by arguments."""
    for key, saved in tensors.items():
        owner_name, _, name = key.rpartition(".")
        try:
            owner = model.get_submodule(owner_name)
        except AttributeError:
            continue
        if name in owner._buffers:
            owner._buffers[name] = torch.empty_like(saved)
