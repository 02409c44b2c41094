"""Load a model folder, which may be a stranger's: nothing in it runs code, names another file, or asks for the network.

The order is the defence. ``model.json`` is held against its schema, ``init_args`` against the constructor's
annotations; the header of ``model.safetensors`` says how large the model may be; only then the network is built, inside
that limit and without a connection; then every tensor must have the shape that the network was built with.
"""

from __future__ import annotations

import inspect
import os
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.collection.bit_certainty import load_certainty
from deephash.collection.pair_counts import load_pair_counts
from deephash.collection.seen import SeenItems
from deephash.encoding.opening import folder_of
from deephash.encoding.record import (
    COPY_AGAIN,
    JSON_NAME,
    TENSORS_NAME,
    read_model_record,
    require_weights,
)
from deephash.encoding.targets import TargetTable
from deephash.encoding.weight_files import names_a_file
from deephash.errors import CollectionDamaged, DeephashError, UsageError, did_you_mean
from deephash.foreign import refused_as, require_schema
from deephash.foreign.network import downloads_allowed, without_network
from deephash.foreign.trust import path_of, trusting
from deephash.models.allocation import AllocationLimit
from deephash.models.argument_schema import revive, schema_of_call
from deephash.models.base import HashModel
from deephash.models.catalogue import method_at, methods
from deephash.models.stationary import Stationary
from deephash.models.storage import CODES_NAME, has_assets

Shapes = dict[str, tuple[int, ...]]
_FETCHING = re.compile(r"pretrained|checkpoint|cache_dir|^hf_|url")  # options by which libraries read other files


def load_model(directory: str | Path, *, trusted: Iterable[str] = ()) -> HashModel:
    """Load a model folder written by :meth:`HashModel.save`, or the model of a run, in evaluation mode on the CPU.

    Only methods of :mod:`deephash.models`, of installed packages that declare them, and of trusted modules are built,
    so a downloaded folder cannot run code; the weights are those of the folder, whatever its backbones name, unless
    ``--allow-download`` was said.

    Args:
        directory: a model folder, a run, a collection (its current model), or ``hf:USER/NAME`` of the Hugging Face hub.
        trusted: modules of one's own, such as ``["mymethod"]``, whose classes the folder may name;
            :func:`deephash.trust` says it once for the whole process.

    Raises:
        CollectionDamaged: files are missing, inconsistent or changed, or describe more than the weights hold.
        FormatTooNew: written by a newer deephash.
        UsageError: a class that is no method or that nobody trusts, or options that it refuses.
    """
    with trusting(trusted):
        return _loaded(folder_of(directory))


def _loaded(folder: Path) -> HashModel:
    recover(folder)
    record = read_model_record(folder)
    cls = _class_named(record["class"], folder)
    shapes, size = _header(record, folder)
    with _isolated(folder), AllocationLimit(size, len(shapes), str(folder / JSON_NAME)):
        model = _build(cls, record, folder)
        _fill(model, record, folder)
    return model.eval()


def require_loadable(model: HashModel) -> None:
    """Refuse a model that would train for hours, be saved, and could not be loaded again.

    Raises:
        UsageError: its class lies inside a function, or its arguments are not what can be written as JSON.
    """
    cls, taken = type(model), inspect.signature(type(model).__init__).parameters
    own = path_of(cls, "deephash.models")
    if "." not in own and own not in methods():
        raise UsageError(f"{cls.__qualname__} could not be loaded again: define it at the top of a module, not inside")
    if any(each.kind is each.VAR_KEYWORD or each.kind is each.VAR_POSITIONAL for each in taken.values()):
        raise UsageError(f"{own} takes *args or **kwargs, of which nobody knows what to save; write its arguments out")
    given = model.init_args()
    lost = [name for name, each in taken.items() if name not in ("self", *given) and each.default is each.empty]
    if lost:
        raise UsageError(f"{own} does not keep its argument {lost[0]!r}: call self.save_hyperparameters() in __init__")
    read = next((found for each in model.encoders.values() if (found := _fetching(each.spec.options))), None)
    if read and not downloads_allowed():
        raise UsageError(
            f"the backbone's option {read!r} reads files outside the model folder, so the model could not be loaded "
            "again; give its weights as a file: --weights FILE"
        )
    try:
        with refused_as(
            UsageError, "annotate the argument with what it takes, such as tuple[float, ...] or a dataclass"
        ):
            require_schema(given, schema_of_call(cls.__init__), f"{own}.__init__")
    except NameError as error:
        raise UsageError(f"{own}.__init__ is annotated with a name that its module lacks: {error}") from None


def recover(folder: Path) -> None:
    """Bring back the older model where a crash struck between the two renames of a replacement."""
    retired = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and (retired / JSON_NAME).exists():
        os.replace(retired, folder)


def _class_named(name: str, folder: Path) -> type[HashModel]:
    known = methods()
    if "." in name:
        return method_at(name, str(folder / JSON_NAME))
    if name not in known:
        raise UsageError(
            f"{folder / JSON_NAME} names the class {name!r}, which is not one of deephash.models"
            + did_you_mean(str(name), sorted(known))
        )
    return known[name]


def _header(record: Mapping[str, Any], folder: Path) -> tuple[Shapes, int]:
    """Return the shapes that ``model.safetensors`` holds and its size in bytes, without reading the tensors."""
    path, size = folder / TENSORS_NAME, require_weights(folder, record)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, size  # noqa: SIM118
    except Exception as error:  # safetensors raises several kinds
        raise CollectionDamaged(f"{path} cannot be read: {_first_line(error)}; {COPY_AGAIN}") from None


@contextmanager
def _isolated(folder: Path) -> Iterator[None]:
    """Shut the network off unless downloads were allowed; turn what other libraries raise into one sentence."""
    try:
        if downloads_allowed():
            yield
        else:
            with without_network():
                yield
    except DeephashError:
        raise
    except (Exception, RecursionError) as error:  # networks of other libraries raise nearly anything
        raise CollectionDamaged(
            f"{folder} cannot be loaded: {type(error).__name__}: {_first_line(error)}; {COPY_AGAIN}"
        ) from None


def _build(cls: type[HashModel], record: Mapping[str, Any], folder: Path) -> HashModel:
    given, path = record["init_args"], folder / JSON_NAME
    with refused_as(CollectionDamaged, COPY_AGAIN):
        require_schema(given, schema_of_call(cls.__init__), f"{path}: init_args")
    hints = typing.get_type_hints(cls.__init__)
    arguments = {name: _own(revive(hints.get(name), value), path) for name, value in given.items()}
    model = cls(**arguments)
    if (model.num_bits, model.num_levels) != (record["num_bits"], record.get("num_levels", 1)):
        raise CollectionDamaged(
            f"{path} does not fit itself: {record['num_bits']} bits x {record.get('num_levels', 1)} in one place and "
            f"{model.num_bits} x {model.num_levels} in another; {COPY_AGAIN}"
        )
    return model


def _own(argument: Any, path: Path) -> Any:
    """Return an argument whose backbones take their weights from the folder and read nothing beside it."""
    if isinstance(argument, dict):
        return {key: _own(value, path) for key, value in argument.items()}
    if not isinstance(argument, Backbone):
        return argument
    if downloads_allowed() and not names_a_file(argument.weights or ""):
        return argument
    fetching = _fetching(argument.options)
    if fetching and not downloads_allowed():
        raise CollectionDamaged(
            f"{path}: the backbone {argument.name!r:.80} has the option {fetching!r}, which reads files outside the "
            "folder; --allow-download lets it"
        )
    return replace(argument, weights=None)


def _fetching(options: Any) -> str | None:
    """Return the first option, at any depth, that makes a library read other files."""
    if isinstance(options, (list, tuple)):
        options = dict(enumerate(options))
    if not isinstance(options, Mapping):
        return None
    for key, value in options.items():
        outside = isinstance(value, str) and ("/" in value or "\\" in value or ":" in value)
        if value and (outside or _FETCHING.search(str(key))):
            return str(key)
        if (inner := _fetching(value)) is not None:
            return f"{key}.{inner}"
    return None


def _fill(model: HashModel, record: Mapping[str, Any], folder: Path) -> None:
    """Give the model its tensors, vocabularies, learned codes, and the list of what it was trained on."""
    model.load_state_dict(_tensors(model, record, folder))
    for modality, encoder in model.encoders.items():
        if has_assets(encoder):
            encoder.load_assets(folder / "assets" / modality)
    if os.path.lexists(folder / CODES_NAME):
        with refused_as(CollectionDamaged, COPY_AGAIN):
            codes = BinaryCodes.load(folder / CODES_NAME)
        if codes.num_bits != model.num_bits:
            raise CollectionDamaged(f"{folder / CODES_NAME} holds {codes.describe()}, not of {model.num_bits} bits")
        model.learned_codes = codes
    model.seen = SeenItems.load(folder)
    model.known_pairs = load_pair_counts(folder)
    model.certainty = load_certainty(folder)
    if isinstance(model, Stationary) and (table := TargetTable.load(folder)) is not None:
        model.target_classes = table.names[: model.num_classes]
    model.format_version = record["format_version"]


def _tensors(model: HashModel, record: Mapping[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    path = folder / TENSORS_NAME
    try:
        tensors = load_file(path)
    except Exception as error:  # as for the header
        raise CollectionDamaged(f"{path} cannot be read: {_first_line(error)}; {COPY_AGAIN}") from None
    here, there = model.state_dict(), tensors
    wrong = sorted(set(here) ^ set(there)) + [key for key in here if key in there and not _alike(here[key], there[key])]
    if wrong:
        names = ", ".join(name[:80] for name in wrong[:5])
        raise CollectionDamaged(f"{path} does not fit {record['class']}: {names}; {COPY_AGAIN}")
    return tensors


def _alike(built: torch.Tensor, saved: torch.Tensor) -> bool:
    """One shape, and one kind of number: a cast within floats is exact enough, one from floats to integers is not."""
    return (
        built.shape == saved.shape
        and built.is_floating_point() == saved.is_floating_point()
        and (saved.is_complex() == built.is_complex())
    )


def _first_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
