"""Hub corrections stored with a collection: a bank of queries beside the rows, and one float a row for each bank.

Some items are near every query and push right answers down (:mod:`deephash.index.querybank`). A bank of queries of one
modality, unlike the ones asked later, tells which. Its codes lie in ``hub_bank_MODALITY.npz``, so that items added
afterwards get their own bias without the bank being encoded again; the biases are the column ``hub_bias_MODALITY``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection.card import replace_file
from deephash.collection.collection import Collection
from deephash.collection.reader import CollectionReader
from deephash.collection.rows import Ids
from deephash.collection.schema import CODE, hub_column
from deephash.errors import CollectionDamaged, UsageError
from deephash.foreign import Unfit, read_npz, refused_as
from deephash.index.querybank import HubCorrection, hub_biases

KINDS = ("text", "image")
BETA = 20.0
_BLOCK = 8192  # rows corrected and written at a time


def store_hub_bank(collection: Collection, kind: str, bank: BinaryCodes, *, beta: float = BETA) -> int:
    """Keep ``bank`` with the collection and give every row its bias. Returns how many rows there are.

    Args:
        collection: codes of one level.
        kind: ``text`` or ``image``: what queries the bank holds, and which ones it will correct.
        bank: their codes, by the collection's model; no test query and no item of the collection belongs in it.
        beta: inverse temperature on the scale of a cosine.

    Raises:
        UsageError: an empty bank, another code length, an unknown kind, a beta that is not positive, rows whose codes
            are of a model that the current one's cannot be compared with.
    """
    _check_kind(kind)
    if not (collection.code_columns[collection.current.column].layout.is_flat and bank.layout.is_flat):
        raise UsageError("hub biases are added to Hamming distances; codes of several levels have none")
    if not len(bank) or bank.num_bits != collection.num_bits:
        raise UsageError(
            f"a bank holds one or more codes of {collection.num_bits} bits; this one {len(bank)} of {bank.num_bits}"
        )
    if not beta > 0:
        raise UsageError(f"beta is an inverse temperature above 0, not {beta:g}")
    _require_one_model(collection)
    _empty_biases(collection, kind)  # whoever is killed on the way leaves rows without a bias, none with an old bank's
    file = io.BytesIO()
    np.savez(file, codes=bank.packed, num_bits=bank.num_bits, beta=beta)
    replace_file(_bank_path(collection, kind), file.getvalue())
    return _give_biases(collection, kind, collection.ids())


def complete_hub_biases(collection: Collection) -> int:
    """Give rows that came later, or whose picture changed, their bias, by each bank there is. Returns how many.

    None while codes of models that cannot be compared are there: searches take no biases then, and rows can still be
    added.
    """
    if _foreign_rows(collection):
        return 0
    return sum(_give_biases(collection, kind, _without_bias(collection, kind)) for kind in kinds_with_bank(collection))


def kinds_with_bank(collection: CollectionReader) -> list[str]:
    """Return which kinds of query the collection keeps a bank for."""
    return [kind for kind in KINDS if os.path.lexists(_bank_path(collection, kind))]


def hub_correction(collection: CollectionReader, kind: str) -> HubCorrection:
    """Return the stored correction for queries of ``kind``. Raises UsageError with the command that makes it."""
    _check_kind(kind)
    command = f"deephash collection hubs {collection.path}"
    if hub_column(kind) not in collection.attribute_kinds:
        raise UsageError(f"{collection.path} has no hub biases for {kind} queries; make them: {command} --bank QUERIES")
    table = collection.table([hub_column(kind)])
    missing = table.column(1).null_count
    if missing:
        raise UsageError(
            f"{missing:,} items of {collection.path} have no hub bias for {kind} queries yet; run {command}"
        )
    return HubCorrection(table.column(0).to_numpy(), table.column(1).to_numpy().astype(np.float32))


def _give_biases(collection: Collection, kind: str, wanted: Ids) -> int:
    bank, beta = _load_bank(_bank_path(collection, kind))
    ids, codes = collection.codes()
    rows = np.searchsorted(ids, wanted)
    for part in _blocks(rows):
        biases = hub_biases(codes[part], bank, beta=beta)
        collection.update(ids[part], [{hub_column(kind): float(bias)} for bias in biases])
    return len(rows)


def _foreign_rows(collection: CollectionReader) -> int:
    """Return how many rows have no code that a bank of the current model could be compared with."""
    return len(collection) - len(collection.codes()[0]) if len(collection.spaces) > 1 else 0


def _require_one_model(collection: CollectionReader) -> None:
    """Raise UsageError before anything is written, where not all rows can be corrected."""
    foreign = _foreign_rows(collection)
    if foreign:
        raise UsageError(
            f"{foreign:,} of {len(collection):,} rows of {collection.path} have codes that cannot be compared with a "
            f"bank of {collection.current.called}; bring all rows to one model first: deephash upgrade "
            f"{collection.path} --re-encode now"
        )


def _empty_biases(collection: Collection, kind: str) -> None:
    if hub_column(kind) in collection.attribute_kinds:
        for part in _blocks(collection.ids()):
            collection.update(part, [{hub_column(kind): None}] * len(part))


def _blocks(rows: Ids) -> Iterator[Ids]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _without_bias(collection: CollectionReader, kind: str) -> Ids:
    if hub_column(kind) not in collection.attribute_kinds:
        return collection.ids()
    table = collection.table([hub_column(kind)])
    missing: Ids = table.column(0).to_numpy()[table.column(1).is_null().to_numpy()]
    return missing


def _load_bank(path: Path) -> tuple[BinaryCodes, float]:
    with refused_as(CollectionDamaged, f"give the bank again: deephash collection hubs {path.parent} --bank QUERIES"):
        bank, beta = BinaryCodes.load(path), read_npz(path, ("beta",)).get("beta", np.zeros(0))
        if not len(bank) or beta.size != 1 or beta.dtype.kind not in "iuf" or not 0 < float(beta.item()) < np.inf:
            raise Unfit(f"{path} holds {len(bank)} codes and no temperature above 0")
    return bank, float(beta.item())


def _bank_path(collection: CollectionReader, kind: str) -> Path:
    own = "" if collection.current.column == CODE else f"_{collection.current.column}"  # a bank is of one model's codes
    return collection.path / f"hub_bank_{kind}{own}.npz"


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"hubs are corrected for queries of the kinds {' and '.join(KINDS)}, not {kind!r}")
