"""Codes from elsewhere as a collection without a model: ``.npz``, Parquet, or a text table of perceptual hashes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import tables
from deephash.collection.collection import Collection
from deephash.collection.kinds import first_misfit, guess_kind, read_cell
from deephash.collection.schema import check_name, file_attribute_kinds, first_twice
from deephash.collection.tables import Line
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile, read_code_file

if TYPE_CHECKING:
    import pyarrow as pa

_HEX, _DIGITS = re.compile(r"[0-9a-fA-F]{2,}"), re.compile(r"[0-9a-fA-F]+")


@dataclass(frozen=True)
class _Found:
    """What a file holds: names, codes, and attributes where there are any."""

    names: Sequence[str]
    codes: BinaryCodes
    attributes: Sequence[Mapping[str, Any]] | None = None


def import_codes(
    source: str | Path,
    out: str | Path,
    *,
    num_bits: int | None = None,
    root: str | Path | None = None,
    code_column: str | None = None,
) -> Collection:
    """Make a collection of codes that another program computed.

    Args:
        source: an ``.npz`` with ``codes`` and optionally ``names`` (or ``uris``) and ``labels`` (several joined by
            ``|``); a Parquet file as ``deephash collection export`` writes it; or a text table with a code a line in
            hexadecimal and a name beside it, separated by a comma, a tab or spaces, as imagehash and PDQ write them.
        out: the new collection.
        num_bits: K, where it is no multiple of 4.
        root: folder that the names are relative to, where they are pictures.
        code_column: heading, or number from 1, of the column of codes, where several look like it.

    Raises:
        DataError: the file is missing or damaged.
        UsageError: it cannot be understood, or a name is there twice.
    """
    path = Path(source)
    if path.suffix.lower() == ".npz":
        found = _of_code_file(read_code_file(path))
    elif path.suffix.lower() == ".parquet":
        found = _of_parquet(path, num_bits)
    else:
        found = _of_text(path, num_bits, code_column)
    if len(set(found.names)) != len(found.names):
        raise UsageError(f"{path}: name {first_twice(found.names)!r} is there twice")
    codes = found.codes
    collection = Collection.create(out, num_bits=codes.num_bits, num_levels=codes.num_levels, root=root)
    try:
        collection.append(uris=found.names, codes=codes, attributes=found.attributes)
    except BaseException:
        shutil.rmtree(out)  # an empty collection would be in the way of the next try
        raise
    return collection


def _of_code_file(file: CodeFile) -> _Found:
    names = [f"item-{row}" for row in range(len(file))] if file.names is None else file.names.tolist()
    words = file.label_words()
    return _Found(names, file.codes, None if words is None else [{"label": each or None} for each in words])


def _of_parquet(path: Path, num_bits: int | None) -> _Found:
    """Read what :func:`deephash.collection.exports.export_codes` writes: packed codes and every attribute."""
    import pyarrow as pa

    table = tables.read_parquet(path)
    packed = next((n for n in table.column_names if pa.types.is_fixed_size_binary(table.schema.field(n).type)), None)
    name = tables.Table(str(path), {each: [] for each in table.column_names}).heading((*tables.PATH, *tables.NAME))
    if packed is None or name is None or table.column(packed).null_count:
        raise UsageError(
            f"{path} needs a column of packed codes (binary of one length, none missing) and one of names, as "
            f"`deephash collection export --to parquet` writes them; it has: {', '.join(table.column_names)}"
        )
    names = table.column(name).to_pylist()
    if None in names:
        raise UsageError(f"{path}: row {names.index(None)} has no name; give every code one")
    rows = np.frombuffer(b"".join(table.column(packed).to_pylist()), np.uint8).reshape(len(table), -1)
    told = (table.schema.metadata or {}).get(b"deephash:num_bits")
    bits = num_bits or (int(told) if told else 8 * table.schema.field(packed).type.byte_width)
    others = table.drop_columns([packed, name, *(each for each in ("id",) if each in table.column_names)])
    return _Found(names, BinaryCodes(rows, bits), _with_words(others).to_pylist())


def _with_words(table: pa.Table) -> pa.Table:
    """Turn class numbers into words, as those of an ``.npz`` are; -1 is no label."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = table.schema.get_field_index("label")
    if place < 0 or not pa.types.is_integer(table.schema.field(place).type):
        return table
    numbers = table.column(place)
    return table.set_column(place, "label", pc.if_else(pc.less(numbers, 0), None, numbers).cast(pa.string()))


def _of_text(path: Path, num_bits: int | None, code_column: str | None) -> _Found:
    lines = _cells(path)
    if not lines:
        raise UsageError(f"{path} is empty; it holds one hexadecimal code a line, with a name beside it")
    headed = not _is_own(lines) and _is_heading(lines)  # a picture may be called "hash"
    lines = tables.without_empty_columns(lines) if headed else lines
    head = [cell.strip() for cell in lines[0][1]] if headed else []
    body = lines[1:] if headed else lines
    if not body:
        raise UsageError(f"{path} holds a heading and no codes")
    body = _of_one_width(path, head, body)
    place = _code_place(path, head, body, code_column)
    cells = [row[place].strip() for _, row in body]
    digits = _common_length(path, body, place)
    if num_bits is not None and not 4 * (digits - 2 + digits % 2) < num_bits <= 4 * digits:
        raise UsageError(
            f"{path}: {digits} hexadecimal digits do not hold codes of {num_bits} bits; leave out the length"
        )
    named = _name_place(head, body, place)
    names = [f"line-{number}" if named is None else row[named] for number, row in body]
    return _Found(names, BinaryCodes.from_hex(cells, num_bits), _attributes(path, head, body, {place, named}))


def _attributes(
    path: Path, head: Sequence[str], body: Sequence[Line], used: set[int | None]
) -> list[dict[str, Any]] | None:
    """Return the other headed columns as attributes; an id is given anew.

    Raises:
        UsageError: a heading that cannot name an attribute, or a cell that is not of the kind that it has for pictures.
    """
    columns = {
        name: [row[place] for _, row in body]
        for place, name in enumerate(head)
        if place not in used and name.lower() != "id"
    }
    kinds = {}
    for name, cells in columns.items():
        check_name(name, f"{path}: ")
        kinds[name] = file_attribute_kinds().get(name) or guess_kind(name, cells)
        if (misfit := first_misfit(kinds[name], cells)) is not None:
            raise UsageError(
                f"{path}, line {body[cells.index(misfit)][0]}: {name!r} is {kinds[name]} of a picture in every "
                f"collection, not {misfit!r:.80}; give the column another name"
            )
    return (
        [{name: read_cell(kinds[name], cells[row]) for name, cells in columns.items()} for row in range(len(body))]
        if columns
        else None
    )


def _of_one_width(path: Path, head: Sequence[str], body: Sequence[Line]) -> list[Line]:
    """Put together the cells of a name that holds the separator and stands in no quotes."""
    width = len(head) or min(len(row) for _, row in body)
    code_last = not head and width > 1 and all(_HEX.fullmatch(row[-1].strip()) for _, row in body)
    even = []
    for number, row in body:
        if len(row) < width:
            raise DataError(f"{path}, line {number}: {len(row)} cells where the first line names {width} columns")
        extra = len(row) - width
        if extra and code_last and not _HEX.fullmatch(row[0].strip()):
            row = [",".join(row[: extra + 1]), *row[extra + 1 :]]
        elif extra:
            row = [*row[: width - 1], ",".join(row[width - 1 :])]
        even.append((number, row))
    return even


def _cells(path: Path) -> list[Line]:
    """Return line numbers and cells; where there is neither comma nor tab, blanks part the code from the name."""
    text = tables.read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if tables.separator_of(path, text) in first:
        return tables.rows_of(path, text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [(number, _at_blanks(line)) for number, line in lines]


def _at_blanks(line: str) -> list[str]:
    words = line.split(maxsplit=1)
    if len(words) == 2 and not _HEX.fullmatch(words[0]) and _HEX.fullmatch(line.rsplit(maxsplit=1)[1]):
        return line.rsplit(maxsplit=1)  # the name stands first
    return words


def _is_heading(lines: Sequence[Line]) -> bool:
    first = [cell.strip().lower() for cell in lines[0][1]]
    if any(cell in tables.HASH for cell in first):
        return True
    return len(lines) > 1 and not any(_HEX.fullmatch(cell) for cell in first) and _has_code(lines[1][1])


def _has_code(row: Sequence[str]) -> bool:
    return any(_HEX.fullmatch(cell.strip()) for cell in row)


def _code_place(path: Path, head: Sequence[str], body: Sequence[Line], asked: str | None) -> int:
    """Return the number of the column of codes: the one asked for, the one so headed, or the only one possible."""
    width = len(body[0][1])
    if asked is not None:
        known = {str(place + 1): place for place in range(width)} | {name: place for place, name in enumerate(head)}
        if asked not in known:
            raise UsageError(f"{path} has no column {asked!r}; its columns are {', '.join(known)}")
        return known[asked]
    headed = [place for place, heading in enumerate(head) if heading.lower() in tables.HASH]
    if len(headed) > 1:
        raise _which(path, headed, body)
    if headed or (not head and _is_own(body)):
        return headed[0] if headed else 0
    able = [place for place in range(width) if all(_HEX.fullmatch(row[place].strip()) for _, row in body)]
    even = [place for place in able if len({len(row[place].strip()) for _, row in body}) == 1]
    if not able:
        raise UsageError(f"{path}: no column in which every line holds a hexadecimal code of the same length")
    if len(even) > 1:
        raise _which(path, even, body)
    return (even or able)[0]


def _which(path: Path, places: Sequence[int], body: Sequence[Line]) -> UsageError:
    shown = ", ".join(f"{place + 1} ({body[0][1][place].strip()})" for place in places)
    return UsageError(
        f"{path}: columns {shown} all look like codes. Say which: --code-column {places[0] + 1}; or name the "
        "columns in a first line: hash,file"
    )


def _is_own(body: Sequence[Line]) -> bool:
    """Say whether this is our own export: code, ascending id, uri."""
    if any(len(row) != 3 or not row[1].isdecimal() or not _HEX.fullmatch(row[0]) for _, row in body):
        return False
    ids = [int(row[1]) for _, row in body]
    return all(one < other for one, other in pairwise(ids))


def _common_length(path: Path, body: Sequence[Line], place: int) -> int:
    """Return the digits of a code. Raises UsageError with the first line that has no code of that length."""
    first = body[0]
    digits = len(first[1][place].strip())
    if not _DIGITS.fullmatch(first[1][place].strip()):
        raise UsageError(f"{path}, line {first[0]}: {first[1][place]!r:.80} is no hexadecimal code, such as ff00aa55")
    for number, row in body:
        cell = row[place].strip()
        if not _DIGITS.fullmatch(cell) or len(cell) != digits:
            raise UsageError(
                f"{path}, line {number}: {cell!r} is no hexadecimal code of {digits} digits, as line {first[0]} has "
                "one; no column in which every line holds a code of the same length"
            )
    return digits


def _name_place(head: Sequence[str], body: Sequence[Line], code: int) -> int | None:
    """Return the column of names: the one so headed, else the one with fewest repetitions, else the longest."""
    wanted = (*tables.PATH, *tables.NAME)
    headed = [place for name in wanted for place, heading in enumerate(head) if heading.lower() == name]
    if headed:
        return headed[0]
    others = [place for place in range(len(body[0][1])) if place != code and any(row[place] for _, row in body)]
    if not head and _is_own(body):
        return 2
    cells = {place: [row[place] for _, row in body] for place in others}
    return max(others, key=lambda place: (len(set(cells[place])), sum(map(len, cells[place]))), default=None)
