"""Take the codes elsewhere: CSV, JSON lines, NumPy, Parquet, hexadecimal, PostgreSQL (pgvector), Faiss, usearch.

Bits are packed as ``numpy.packbits`` does: the first bit of a code is the highest bit of its first byte.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deephash.codes import BinaryCodes
from deephash.collection.reader import CollectionReader
from deephash.collection.rows import Ids
from deephash.collection.schema import ID, URI
from deephash.collection.tables import tab_line
from deephash.errors import CollectionError, UsageError, did_you_mean
from deephash.foreign.replacing import put_in_place

_ROWS = 4096  # turned into Python values at a time


def export_codes(collection: CollectionReader, out: str | Path, to: str, *, column: str | None = None) -> int:
    """Write the codes of ``column`` with ids and uris; return how many.

    Args:
        collection: what to read.
        out: the file to write; it appears complete or not at all.
        to: ``csv`` and ``jsonl`` (id, path, code in hexadecimal, every attribute), ``numpy`` (.npz), ``parquet``,
            ``hex`` (tab-separated lines: code, id, uri, by the rules of CSV), ``pgvector`` (SQL for psql), ``faiss``
            (IndexBinaryIDMap2) or ``usearch``.
        column: which codes; by default those that all rows have.

    Raises:
        UsageError: unknown format, several levels, or a package is missing.
    """
    if to not in _WRITERS:
        raise UsageError(f"cannot export to {to!r}" + did_you_mean(to, list(_WRITERS)))
    ids, codes = collection.codes(column or collection.the_one_space("export its codes"))
    if not codes.layout.is_flat and to != "numpy":
        raise UsageError(f"codes of {codes.num_levels} levels mean nothing to {to}; export them to numpy")
    target = Path(out)
    scratch = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        _WRITERS[to](collection, scratch, ids, codes)
        put_in_place(scratch, target)
    except OSError as error:
        raise CollectionError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)
    return len(ids)


def _uris(collection: CollectionReader, ids: Ids) -> list[str]:
    table = collection.table([URI])
    everyone = table.column(ID).to_numpy()
    return list(table.column(URI).take(pa.array(np.searchsorted(everyone, ids))).to_pylist())


def _numpy(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    arrays = {"ids": ids, "uris": np.array(_uris(collection, ids), dtype=np.str_)}
    labels = collection.table(["label"])
    named = labels.column("label").take(pa.array(np.searchsorted(labels.column(ID).to_numpy(), ids)))
    if named.null_count < len(named):  # an empty word is an item without a label
        arrays["labels"] = np.array([word or "" for word in named.to_pylist()], dtype=np.str_)
    finished = out.with_suffix(".npz")  # numpy adds the ending where it is missing
    codes.save(finished, **arrays)
    finished.replace(out)


def _parquet(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    names = [URI, *(name for name in collection.attribute_kinds if name != URI)]
    table = collection.table(names)
    table = table.take(pa.array(np.searchsorted(table.column(ID).to_numpy(), ids)))
    width = codes.packed.shape[1]
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(ids), [None, pa.py_buffer(codes.packed)])
    table = table.append_column(pa.field("code", pa.binary(width)), packed)
    pq.write_table(table.replace_schema_metadata({"deephash:num_bits": str(codes.num_bits)}), out)


def _rows(collection: CollectionReader, ids: Ids, codes: BinaryCodes) -> Iterator[dict[str, Any]]:
    """Yield {id, path, code, attribute: value} of each row; attributes that no row has are left out."""
    names = [name for name in collection.attribute_kinds if name != URI]
    table = collection.table([URI, *names])
    table = table.take(pa.array(np.searchsorted(table.column(ID).to_numpy(), ids)))
    kept = [name for name in names if table.column(name).null_count < len(table)]
    for start in range(0, len(ids), _ROWS):
        part, text = table.slice(start, _ROWS), codes[np.arange(start, min(start + _ROWS, len(ids)))].hex()
        columns = [part.column(name).to_pylist() for name in (ID, URI, *kept)]
        for code, number, uri, *values in zip(text, *columns):
            yield {"id": number, "path": uri, "code": code, **dict(zip(kept, values))}


def _csv(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        writer: Any = None
        for row in _rows(collection, ids, codes):
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: _iso(value) for name, value in row.items()})
        if writer is None:
            file.write("id,path,code\n")


def _jsonl(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        for row in _rows(collection, ids, codes):
            filled = {name: _iso(value) for name, value in row.items() if value is not None}
            file.write(json.dumps(filled, ensure_ascii=False, allow_nan=False) + "\n")


def _iso(value: Any) -> Any:
    """Return a time as ISO 8601, a number that JSON does not have as None, anything else as it is."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value


def _hex(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        rows = zip(codes.hex(), ids.tolist(), _uris(collection, ids))
        file.writelines(map(tab_line, rows))


def _pgvector(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    bits = np.char.mod("%d", codes.bits().astype(np.uint8)) if len(codes) else np.empty((0, codes.num_bits), "U1")
    with out.open("w", encoding="utf-8") as file:
        file.write(_SQL_HEAD.format(num_bits=codes.num_bits))
        for number, uri, row in zip(ids, _uris(collection, ids), bits):
            file.write(f"{number}\t{_escaped(uri)}\t{''.join(row)}\n")
        file.write("\\.\nCOMMIT;\n")


_SQL_HEAD = """\
-- psql DATABASE -f THIS_FILE; pgvector 0.7 or later adds the Hamming distance <~> to bit(n).
-- Nearest ten: SELECT uri, code <~> B'...' AS distance FROM pictures ORDER BY distance, id LIMIT 10;
CREATE EXTENSION IF NOT EXISTS vector;
BEGIN;
CREATE TABLE pictures (id bigint PRIMARY KEY, uri text NOT NULL, code bit({num_bits}) NOT NULL);
COPY pictures (id, uri, code) FROM stdin;
"""


def _escaped(text: str) -> str:
    """Escape a cell of PostgreSQL's COPY text format."""
    for char, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, escape)
    return text


def _faiss(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    faiss = _package("faiss", "faiss-cpu")
    index = faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(8 * codes.packed.shape[1]))
    index.add_with_ids(codes.packed, ids)
    faiss.write_index_binary(index, str(out))


def _usearch(collection: CollectionReader, out: Path, ids: Ids, codes: BinaryCodes) -> None:
    usearch = _package("usearch.index", "usearch")
    index = usearch.Index(
        ndim=8 * codes.packed.shape[1], metric=usearch.MetricKind.Hamming, dtype=usearch.ScalarKind.B1
    )
    if len(ids):
        index.add(ids.astype(np.uint64), codes.packed)
    index.save(str(out))


def _package(module: str, name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise UsageError(f"exporting there needs the package {name}: pip install {name}") from None


_WRITERS: Mapping[str, Callable[[CollectionReader, Path, Ids, BinaryCodes], None]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "numpy": _numpy,
    "parquet": _parquet,
    "hex": _hex,
    "pgvector": _pgvector,
    "faiss": _faiss,
    "usearch": _usearch,
}
EXPORT_FORMATS = tuple(_WRITERS)
_HOLDS: Mapping[str, tuple[str, ...]] = {"numpy": ("label",), "hex": (), "pgvector": (), "faiss": (), "usearch": ()}


def left_out(collection: CollectionReader, to: str) -> list[str]:
    """Return the attributes with values that the format ``to`` has no place for."""
    if to not in _HOLDS:
        return []
    kinds = collection.attribute_kinds
    names = [name for name in kinds if name not in (URI, *_HOLDS[to])]
    table = collection.table(names)
    return [name for name in names if table.column(name).null_count < len(table)]
