"""What ``model.json`` says of a portable encoder: an ONNX file a tower, and how its rows are read. Without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deephash.encoding.record import read_model_record, require_weights
from deephash.errors import CollectionDamaged
from deephash.foreign import read_bytes, refused_as
from deephash.foreign.names import printable

ENTRY = "portable"
INT8_NAME = "encoder_int8.onnx"
OPSET = 17
TOLERANCE = 1e-3  # largest difference of a continuous code from torch's, of its own size, that is let pass at export
_LARGEST = 8 << 30  # bytes of a tower


def towers_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the portable towers that a record describes, by modality; none where it carries no portable encoder."""
    found = record.get(ENTRY) or {}
    towers: Mapping[str, Any] = found.get("towers") or {}
    return towers if set(towers) == set(record.get("modalities", ())) else {}


def file_name(modality: str) -> str:
    """Return the name of a tower's file."""
    return "encoder.onnx" if modality == "image" else f"encoder_{modality}.onnx"


def check_model_folder(folder: Path) -> None:
    """Read a model folder whole. Raises CollectionDamaged where a file is not the one that its record describes."""
    record = read_model_record(folder)
    require_weights(folder, record)
    for modality, tower in towers_of(record).items():
        read_tower(folder / file_name(modality), tower)
        if "int8" in tower:
            read_tower(folder / INT8_NAME, tower["int8"])


def read_tower(path: Path, tower: Mapping[str, Any]) -> bytes:
    """Return the content of a tower's file. Raises CollectionDamaged where it is not the one that was written."""
    with refused_as(CollectionDamaged, "copy the folder again, or use --engine torch"):
        content = read_bytes(path, _LARGEST)
    if hashlib.sha256(content).hexdigest() != tower.get("sha256"):
        raise CollectionDamaged(
            f"{printable(path)} is not the file that model.json describes; copy the folder again, or use --engine torch"
        )
    return content
