"""How many bits one encoder decides otherwise than another, measured on real items and noted in the model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deephash.collection.card import replace_file
from deephash.encoding.card import CARD_NAME, card_of
from deephash.encoding.port import CodeEncoder, Modality, Row
from deephash.encoding.portable import ENTRY, towers_of
from deephash.encoding.record import JSON_NAME, read_model_record

SAMPLE = 64  # items on which two encoders are compared


def count_flips(one: CodeEncoder, other: CodeEncoder, modality: Modality, rows: Sequence[Row]) -> dict[str, int]:
    """Return ``items``, ``bits`` and ``flipped``: bits of the codes of ``rows`` on which two encoders do not agree."""
    mine, theirs = (each.encode(modality, rows).codes.bits() for each in (one, other))
    return {"items": len(rows), "bits": mine.size, "flipped": int((mine != theirs).sum())}


def note_of_tower(folder: Path, modality: str, **facts: Mapping[str, Any]) -> None:
    """Add to what ``model.json`` says of a portable tower, and write the card anew; nothing else changes.

    Raises:
        CollectionDamaged: the folder cannot be read, or carries no portable encoder.
    """
    record = read_model_record(folder)
    towers = towers_of(record)
    record[ENTRY]["towers"] = {**towers, modality: {**towers[modality], **facts}}
    write_record(folder, record)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``model.json`` and the card of a model folder, each at once."""
    replace_file(folder / JSON_NAME, json.dumps(record, indent=2) + "\n")
    replace_file(folder / CARD_NAME, card_of(record))
