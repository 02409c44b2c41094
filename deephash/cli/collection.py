"""``deephash collection ...``: look at a collection and look after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from deephash.cli.calibrate import calibrate
from deephash.cli.hubs import hubs
from deephash.cli.models_of import model_records, models_text
from deephash.cli.output import note, print_json, table
from deephash.cli.publish import publish
from deephash.cli.push import push
from deephash.cli.verify import verify
from deephash.collection import Collection
from deephash.collection.near_values import near_values
from deephash.errors import UsageError

Flag = Annotated[bool, Parameter(negative="")]


def info(collection: Path, /, *, json: Flag = False) -> None:
    """Say what is in a collection.

    $ deephash collection info pictures.dh

    Args:
        collection: the folder, by custom ending in .dh.
        json: print one JSON object.
    """
    opened = Collection.open(collection)
    record = _facts(opened)
    if json:
        print_json(record)
        return
    width = max(map(len, record))
    models = record.pop("models")
    for name, value in record.items():
        print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")
    if len(models) > 1:
        print(models_text(models))


def remove(
    collection: Path,
    ids: list[int] = [],  # noqa: B006 - read only
    /,
    *,
    where: str | None = None,
    dry_run: Flag = False,
) -> int:
    """Remove rows by id or by a filter; the pictures themselves are never touched.

    $ deephash collection remove pictures.dh 17 23
    $ deephash collection remove pictures.dh --where "label = cat and year < 2010" --dry-run

    Args:
        collection: the folder.
        ids: numbers of rows.
        where: remove every row that passes this filter.
        dry_run: only say how many.
    """
    if bool(ids) == (where is not None):
        raise UsageError("name the rows either by ids or by --where")
    if where is not None and not where.strip():
        raise UsageError("an empty --where passes every row, so nothing was removed; all rows: --where 'path exists'")
    opened = Collection.open(collection)
    chosen = np.intersect1d(ids, opened.ids()) if where is None else opened.matching(where)
    if not len(chosen):
        note("\n".join(["no such rows", *near_values(opened, where or {})]))
        return 1
    if not dry_run:
        opened.remove(chosen)
    print(f"{'would remove' if dry_run else 'removed'} {len(chosen):,} rows of {collection}")
    if not dry_run:
        note(f"undo with: deephash collection restore {collection} {opened.version - 1}")
    return 0


def update(
    collection: Path,
    /,
    *,
    attributes: Path,
    type: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - read only
) -> int:
    """Set attributes of rows from a CSV with a column path; new columns can be filtered by at once.

    $ deephash collection update pictures.dh --attributes labels.csv

    Args:
        collection: the folder.
        attributes: the CSV; paths are those that ``deephash search`` prints.
        type: what a column holds, instead of what its cells look like: ``zip=text``. May be repeated.
    """
    from deephash.collection.attributes import apply_attributes, read_attributes, read_kinds

    applied = apply_attributes(Collection.open(collection), read_attributes(attributes, read_kinds(type)))
    print(f"{applied.updated:,} rows changed, {applied.matched:,} lines matched, {len(applied.unmatched):,} did not")
    for path in applied.unmatched[:5]:
        note(f"  no row for {path}")
    return 0 if applied.matched else 1


def versions(collection: Path, /, *, json: Flag = False) -> None:
    """List the versions that can be restored.

    $ deephash collection versions pictures.dh

    Args:
        collection: the folder.
        json: print one JSON object a line.
    """
    found = Collection.open(collection).versions()
    if json:
        for version in found:
            print_json({"version": version.version, "time": version.time.isoformat(), "rows": version.num_rows})
        return
    rows = [(entry.version, f"{entry.time:%Y-%m-%d %H:%M:%S}", entry.num_rows) for entry in found]
    print(table(rows, ("version", "time", "rows")))


def restore(collection: Path, version: int, /) -> None:
    """Make an earlier version the latest; this can itself be undone.

    $ deephash collection restore pictures.dh 12

    Args:
        collection: the folder.
        version: a number of ``deephash collection versions``.
    """
    opened = Collection.open(collection)
    opened.refresh()
    before = opened.version
    opened.restore(version)
    print(f"{collection} is as it was in version {version} ({len(opened):,} rows); before that it was version {before}")


def compact(collection: Path, /, *, forget_days: float | None = None) -> None:
    """Join the small files that many commits leave.

    $ deephash collection compact pictures.dh
    $ deephash collection compact pictures.dh --forget-days 30

    Args:
        collection: the folder.
        forget_days: also delete versions older than this, and the disk space only they need.
    """
    opened = Collection.open(collection)
    before = _bytes(collection)
    opened.compact(forget_older_than=None if forget_days is None else timedelta(days=forget_days))
    print(f"{collection}: {opened.num_files} file(s) of rows, {_size(before)} before, {_size(_bytes(collection))} now")


def export(collection: Path, /, *, to: str, out: Path, column: str | None = None) -> None:
    """Write codes, ids, paths and attributes for other programs.

    $ deephash collection export pictures.dh --to numpy --out codes.npz
    $ deephash collection export pictures.dh --to csv --out pictures.csv
    $ deephash collection export pictures.dh --to pgvector --out pictures.sql

    Args:
        collection: the folder.
        to: csv, jsonl and parquet keep every attribute, numpy the label; hex, pgvector, faiss and usearch none.
        out: the file to write.
        column: which codes; by default those that all rows have.
    """
    from deephash.collection.exports import export_codes, left_out

    opened = Collection.open(collection)
    count = export_codes(opened, out, to, column=column)
    print(f"{count:,} codes written to {out}")
    missing = left_out(opened, to)
    if missing:
        note(f"{to} has no place for {', '.join(missing)}; --to csv, jsonl and parquet keep them")


def import_(
    source: Path,
    /,
    *,
    out: Path,
    bits: int | None = None,
    root: Path | None = None,
    code_column: str | None = None,
) -> None:
    """Make a collection of codes that another program computed: .npz, .parquet, or a table of pHash, PDQ and the like.

    $ deephash collection import phash.csv --out phash.dh --root ~/Pictures

    Args:
        source: an .npz with ``codes`` and ``names``, a Parquet file of ``collection export``, or a table with a
            hexadecimal code and a name a line; its headings say which is which (hash, phash, path, file, ...).
        out: the new collection.
        bits: code length, where it is no multiple of 4.
        root: folder that the names are relative to, where they are pictures.
        code_column: heading, or number from 1, of the column of codes, where several look like it.
    """
    from deephash.collection.imports import import_codes

    made = import_codes(source, out, num_bits=bits, root=root, code_column=code_column)
    print(f"{out}: {len(made):,} codes of {made.num_bits} bits")


def _facts(opened: Collection) -> dict[str, Any]:
    codes = {
        name: f"{column.layout.describe()}, {column.model}" + (f" {column.fingerprint}" if column.fingerprint else "")
        for name, column in opened.code_columns.items()
    }
    card = opened.card
    return {
        "collection": str(opened.path),
        "items": len(opened),
        "version": opened.version,
        "root": card.root,
        "codes": codes,
        "models": model_records(opened),
        "unique_codes": _unique(opened),
        "vectors": f"float16, {opened.vector_dim} dimensions" if opened.has_vectors else None,
        "attributes": _filled(opened),
        "bytes": _bytes(opened.path),
        "files": opened.num_files,
        "created": card.created,
        "format": card.format_version,
        "notes": dict(card.notes),
    }


def _unique(opened: Collection) -> int:
    from deephash.index.groups import count_unique

    return sum(count_unique(opened.codes(space.column)[1]) for space in opened.spaces)


def _filled(opened: Collection) -> dict[str, int]:
    """Return how many rows have a value, for each attribute that any row has."""
    kinds = [name for name in opened.attribute_kinds if name != "uri"]
    columns = opened.table(kinds)
    counts = {name: len(columns) - columns.column(name).null_count for name in kinds}
    return {name: count for name, count in counts.items() if count}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({part})" for name, part in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


COMMANDS: dict[str, Callable[..., Any]] = {
    "info": info,
    "remove": remove,
    "update": update,
    "verify": verify,
    "hubs": hubs,
    "calibrate": calibrate,
    "push": push,
    "publish": publish,
    "versions": versions,
    "restore": restore,
    "compact": compact,
    "export": export,
    "import": import_,
}
