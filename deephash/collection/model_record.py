"""``model.json`` of a model folder, checked, without importing torch: what collections and searches need of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deephash.errors import CollectionDamaged, FormatTooNew
from deephash.foreign import Absent, read_json, refused_as, require_schema

FORMAT_VERSION = 1
JSON_NAME = "model.json"
COPY_AGAIN = "copy the model folder again, or train again"


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


def require_version(record: dict[str, Any], folder: Path, kind: str, newest: int) -> None:
    """Raise FormatTooNew where a later deephash wrote the record; its schema may be another."""
    version = record.get("format_version")
    if isinstance(version, int) and version > newest:
        raise FormatTooNew(
            f"{folder} has {kind} format {version}; this deephash reads up to {newest}. "
            "Upgrade: pip install --upgrade deephash"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, None)
    except Absent:
        raise FileNotFoundError from None
