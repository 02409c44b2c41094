"""By which words a collection's model was asked for, so that the same words need not fit it again."""

from __future__ import annotations

from pathlib import Path

from deephash.collection import Collection
from deephash.collection.card import is_collection

_NOTE = "asked_for"


def note_origin(out: Path, spec: str, weights: Path | None = None) -> None:
    """Note in the card of a new collection that its model was fitted for ``spec``, such as ``itq:timm:resnet18``.

    Args:
        out: the collection.
        spec: what was asked for.
        weights: the file of the network's weights, where one was given; its size is noted.
    """
    if ":" in spec and is_collection(out):
        opened = Collection.open(out)
        opened.note(_NOTE, {"spec": spec, "fingerprint": opened.fingerprint, "weights": _size(weights)})


def is_fitted_for(out: Path, spec: str, num_bits: int | None, weights: Path | None = None) -> bool:
    """Say whether the current model of a collection was fitted for ``spec``, in the length and by the weights given."""
    if not is_collection(out):
        return False
    opened = Collection.open(out)
    noted = opened.card.notes.get(_NOTE)
    if not isinstance(noted, dict) or num_bits not in (None, opened.num_bits):
        return False
    if weights is not None and noted.get("weights") != _size(weights):
        return False
    return noted.get("spec") == spec and noted.get("fingerprint") == opened.fingerprint


def _size(weights: Path | None) -> int | None:
    return weights.stat().st_size if weights is not None and weights.is_file() else None
