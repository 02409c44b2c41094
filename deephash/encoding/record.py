"""``model.json`` of a model folder, checked, without importing torch: where it lies and what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deephash.errors import CollectionDamaged
from deephash.foreign import Absent, read_json, refused_as, require_regular, require_schema, require_version

FORMAT_VERSION = 2  # 1 had another rule of fingerprints, see models/storage.py
JSON_NAME, TENSORS_NAME = "model.json", "model.safetensors"
COPY_AGAIN = "copy the model folder again, or train again"


def model_folder(path: str | Path) -> Path:
    """Return where the model of a run lies: ``RUN/model``, ``RUN`` itself where it is a model folder, or ``RUN/last``.

    Where it is none of them the path itself is returned, which :func:`read_model_record` then refuses.
    """
    run = Path(path)
    return next((place for place in (run / "model", run, run / "last") if (place / JSON_NAME).is_file()), run)


def description_of(record: Mapping[str, Any]) -> str:
    """Return a name for people, such as ``OrthoHash on timm:resnet18``."""
    arguments = record.get("init_args", {})
    backbone = arguments.get("backbone") or arguments.get("image_backbone") or {}
    suffix = f" on {backbone['name']}" if isinstance(backbone, dict) and "name" in backbone else ""
    return f"{record.get('class', 'model')}{suffix}"


def read_model_record(directory: str | Path) -> dict[str, Any]:
    """Return the content of ``model.json``.

    Raises:
        CollectionDamaged: it is missing, unreadable or not what the schema says.
        FormatTooNew: written by a newer deephash.
    """
    path = Path(directory) / JSON_NAME
    try:
        with refused_as(CollectionDamaged, COPY_AGAIN):
            record = _read(path)
            require_version(record, path.parent, "model", FORMAT_VERSION)
            require_schema(record, "model", path)
    except FileNotFoundError:
        raise CollectionDamaged(
            f"{directory} holds no {JSON_NAME}, so it is no model folder; `deephash train` writes one to RUN/model"
        ) from None
    return record


def sha256(path: Path) -> str:
    """Return the digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_weights(folder: Path, record: Mapping[str, Any]) -> int:
    """Return the size of ``model.safetensors`` in bytes. Raises CollectionDamaged unless it is what its record says."""
    path = folder / TENSORS_NAME
    with refused_as(CollectionDamaged, f"the model cannot be read without it; {COPY_AGAIN}"):
        size = require_regular(path)
    if sha256(path) != record["weights_sha256"]:
        raise CollectionDamaged(f"{path} is not the file that {JSON_NAME} describes; {COPY_AGAIN}")
    return size


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, None)
    except Absent:
        raise FileNotFoundError from None
