"""A model on disk: ``model.json`` + ``model.safetensors`` + ``README.md``; nothing in the folder can run code.

``model.json`` names a class of :mod:`deephash.models` and its constructor's arguments as plain JSON. The weights, those
of the backbone included, lie beside it: a model folder works without network and without the files it came from.
"""

from __future__ import annotations

import inspect
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from safetensors.torch import save_file

from deephash.backbones import Backbone, Encoder
from deephash.codes import BinaryCodes
from deephash.collection.bit_certainty import BitCertainty, save_certainty
from deephash.collection.pair_counts import PairCounts, save_pair_counts
from deephash.collection.seen import SeenItems
from deephash.encoding.card import CARD_NAME, card_of
from deephash.encoding.portable import ENTRY as PORTABLE
from deephash.encoding.record import JSON_NAME, TENSORS_NAME, sha256
from deephash.encoding.targets import TargetTable
from deephash.errors import UsageError
from deephash.foreign.replacing import put_in_place
from deephash.foreign.trust import path_of
from deephash.models.optimizers import Optimizer
from deephash.models.portable import export_portable
from deephash.version import __version__

CODES_NAME = "learned_codes.npz"


class Saveable(Protocol):
    """What is asked of a model that is written: :class:`~deephash.models.HashModel` has it."""

    num_bits: int
    num_levels: int
    format_version: int
    training_only: ClassVar[tuple[str, ...]]
    supervised: ClassVar[bool]
    learned_codes: BinaryCodes | None
    seen: SeenItems | None
    known_pairs: Sequence[PairCounts]
    certainty: Mapping[str, BitCertainty]

    @property
    def encoders(self) -> Any: ...  # noqa: D102
    @property
    def own_certainty(self) -> BitCertainty | None: ...  # noqa: D102
    @property
    def hparams(self) -> Any: ...  # noqa: D102
    def state_dict(self) -> Any: ...  # noqa: D102
    def fingerprint(self) -> str: ...  # noqa: D102
    def init_args(self) -> dict[str, Any]: ...  # noqa: D102
    def target_table(self) -> TargetTable | None: ...  # noqa: D102


# Saving --------------------------------------------------------------------------------------------


def save_model(model: Saveable, directory: Path, *, portable: bool = True) -> None:
    """Write ``model`` into ``directory``; an older model there is replaced only once the new one is complete.

    Args:
        model: a :class:`~deephash.models.HashModel`.
        directory: the model folder.
        portable: with an encoder that needs no torch, where the model has such a form.
    """
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        _write(model, fresh, portable)
        _swap(fresh, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write(model: Saveable, folder: Path, portable: bool) -> None:
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
    if model.known_pairs:
        save_pair_counts(folder, model.known_pairs)
    own = model.own_certainty
    if tables := model.certainty or ({} if own is None else {"image": own}):
        save_certainty(folder, tables)
    if (table := model.target_table()) is not None:
        table.save(folder)
    record = describe(model) | {"weights_sha256": sha256(folder / TENSORS_NAME)}
    if portable:
        record[PORTABLE] = export_portable(model, folder)  # type: ignore[arg-type]
    (folder / JSON_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf8")
    (folder / CARD_NAME).write_text(card_of(record), encoding="utf8")
    folder.chmod(0o755)  # mkdtemp gives 0700, which would hide the model from other users


def _swap(fresh: Path, directory: Path) -> None:
    retired = directory.with_name(f".{directory.name}.old")
    if directory.exists():
        shutil.rmtree(retired, ignore_errors=True)
        put_in_place(directory, retired)
    put_in_place(fresh, directory)
    shutil.rmtree(retired, ignore_errors=True)


def describe(model: Saveable) -> dict[str, Any]:
    """Return what ``model.json`` says about ``model``."""
    table = model.target_table()
    return {
        "format_version": _format_needed(model),
        "deephash": __version__,
        "class": path_of(type(model), "deephash.models"),
        "num_bits": model.num_bits,
        "num_levels": model.num_levels,
        "modalities": list(model.encoders),
        "supervised": model.supervised,
        "fingerprint": model.fingerprint(),
        "init_args": model.init_args(),
        **({} if table is None else {"targets": table.record()}),
    }


def _format_needed(model: Saveable) -> int:
    """Return 1 where the rules of both formats give the same name: then deephash 0.1 reads the folder too."""
    return 1 if identity(model) == identity(model, format_version=1) else model.format_version


# Constructor arguments as JSON ---------------------------------------------------------------------


def jsonable_init_args(model: Saveable) -> dict[str, Any]:
    """Return the constructor's arguments as JSON values; backbones resolved, and without weight files.

    Arguments that describe backbones are called ``backbone``, ``<modality>_backbone`` or ``backbones`` (a mapping).
    """
    known = inspect.signature(type(model).__init__).parameters
    return {name: _jsonable(name, value, model) for name, value in model.hparams.items() if name in known}


def _jsonable(name: str, value: Any, model: Saveable) -> Any:
    if name == "backbones":
        return {modality: _plain(_resolved(encoder)) for modality, encoder in model.encoders.items()}
    if name == "backbone" or name.endswith("_backbone"):
        modality = name.removesuffix("backbone").rstrip("_") or next(iter(model.encoders))
        return _plain(_resolved(model.encoders[modality]) if modality in model.encoders else value)
    if isinstance(value, Optimizer):
        value = getattr(model, "optimizer", value)  # with what the method lays below it
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


def identity(model: Saveable, *, format_version: int | None = None) -> str:
    """Return, as one string, the arguments that codes depend on besides the weights.

    Left out are arguments that only training reads, and whatever has its default value: a later version that adds an
    option must not change the fingerprints of the models that exist. Of training's arguments format 1 left out the
    optimiser only; a model of such a folder keeps its name.

    Args:
        model: the model.
        format_version: whose rule; None takes the model's own.
    """
    rule = model.format_version if format_version is None else format_version
    parameters = inspect.signature(type(model).__init__).parameters
    dropped = training_only(type(model)) if rule > 1 else {"optimizer"}
    args = {name: value for name, value in model.init_args().items() if name not in dropped}
    chosen = {name: value for name, value in args.items() if value != _plain(parameters[name].default)}
    blank = _plain(Backbone(weights=None))
    for name, value in chosen.items():
        if isinstance(value, dict) and value.keys() == blank.keys():
            chosen[name] = {key: item for key, item in value.items() if item != blank[key] and key != "frozen"}
    return json.dumps([type(model).__name__, chosen, _assets(model)], sort_keys=True)


def training_only(cls: type[Any]) -> set[str]:
    """Return the names that ``cls`` and the classes above it mark as arguments of training alone."""
    return {name for each in cls.__mro__ for name in vars(each).get("training_only", ())}


def has_assets(encoder: Encoder) -> bool:
    """Say whether the encoder keeps more than tensors, such as a vocabulary."""
    return type(encoder).save_assets is not Encoder.save_assets


def _assets(model: Saveable) -> dict[str, str]:
    digests: dict[str, str] = {}
    for modality, encoder in model.encoders.items():
        if has_assets(encoder):
            with tempfile.TemporaryDirectory() as folder:
                encoder.save_assets(Path(folder))
                digests |= {f"{modality}/{path.name}": sha256(path) for path in sorted(Path(folder).iterdir())}
    return digests
