"""From a run, a model folder, a collection or a model in memory to an encoder; torch is imported here, not before."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from deephash.collection.card import is_collection
from deephash.encoding.port import CodeEncoder, Precision
from deephash.encoding.record import model_folder
from deephash.errors import UsageError

Source: TypeAlias = Any  # str, Path, CodeEncoder, or a HashModel, whose class is on a higher floor

_TORCH = "deephash.models.encoder", "TorchEncoder"  # on a higher floor, so imported by name when first opened


def open_encoder(source: Source, *, device: str | None = None, precision: Precision | None = None) -> CodeEncoder:
    """Return an encoder.

    Args:
        source: a run, a model folder, or a collection (the model that made its codes); a HashModel, which is put into
            evaluation mode; or an encoder, which is returned.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ...; None leaves a model where it is. An encoder
            stays where it is.
        precision: ``bf16`` computes the network in bfloat16; None leaves an encoder as it is, and is fp32 otherwise.

    Raises:
        CollectionDamaged, FormatTooNew: the folder cannot be used.
        UsageError: the device cannot be used, or a collection carries no model.
    """
    if isinstance(source, CodeEncoder):
        return source if precision is None else source.at(precision)
    engine = getattr(import_module(_TORCH[0]), _TORCH[1])
    is_folder = isinstance(source, (str, Path))
    opened: CodeEncoder = engine.open(folder_of(source), device) if is_folder else engine(source, device)
    return opened.at(precision or "fp32")


def folder_of(source: str | Path) -> Path:
    """Return the model folder of a run, of a collection, or the folder itself. Raises UsageError for codes alone."""
    path = Path(source)
    if not is_collection(path):
        return model_folder(path)
    from deephash.collection import Collection

    carried = Collection.open(path).model_path
    if carried is None:
        raise UsageError(f"{path} carries no model: its codes were imported; give the model that made them")
    return carried
