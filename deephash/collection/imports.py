"""Codes from elsewhere as a collection without a model: ``.npz``, or lines of hexadecimal perceptual hashes."""

from __future__ import annotations

import re
from pathlib import Path

from deephash.codes import BinaryCodes
from deephash.collection.collection import Collection
from deephash.collection.schema import first_twice
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import read_code_file

_HEX = re.compile(r"[0-9a-fA-F]{2,}")


def import_codes(
    source: str | Path, out: str | Path, *, num_bits: int | None = None, root: str | Path | None = None
) -> Collection:
    """Make a collection of codes that another program computed.

    Args:
        source: an ``.npz`` with ``codes`` and optionally ``names`` (or ``uris``) and ``labels``; or a text file with
            one code a line in hexadecimal, and a name before or behind it, separated by a comma, a tab or spaces, as
            imagehash and PDQ write them. A first line that holds no code is taken for a heading.
        out: the new collection.
        num_bits: K, where it is no multiple of 4.
        root: folder that the names are relative to, where they are pictures.

    Raises:
        DataError: the file is missing or damaged.
        UsageError: it cannot be understood, or a name is there twice.
    """
    path = Path(source)
    if path.suffix == ".npz":
        file = read_code_file(path)
        codes = file.codes
        names = [f"item-{row}" for row in range(len(codes))] if file.names is None else file.names.tolist()
        labels = file.labels if file.labels is not None and file.labels.ndim == 1 else None
        attributes = [{"label": str(label)} for label in labels] if labels is not None else None
    else:
        names, codes = _read_hex(path, num_bits)
        attributes = None
    if len(set(names)) != len(names):
        raise UsageError(f"{path}: name {first_twice(names)!r} is there twice")
    collection = Collection.create(out, num_bits=codes.num_bits, num_levels=codes.num_levels, root=root)
    collection.append(uris=names, codes=codes, attributes=attributes)
    return collection


def _read_hex(path: Path, num_bits: int | None) -> tuple[list[str], BinaryCodes]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from None
    lines = [(number, re.split(r"[,\t]", line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    cells = [
        (number, [cell.strip() for cell in (row if len(row) > 1 else row[0].split(maxsplit=1))])
        for number, row in lines
    ]
    if not cells:
        raise UsageError(f"{path} is empty; it holds one hexadecimal code a line, with a name beside it")
    place = _code_column([row for _, row in cells])
    if place is None and not any(_HEX.fullmatch(cell) for cell in cells[0][1]):  # a heading
        cells = cells[1:]
        place = _code_column([row for _, row in cells]) if cells else None
    if place is None:
        raise UsageError(f"{path}: no column in which every line holds a hexadecimal code of the same length")
    digits = len(cells[0][1][place])
    if num_bits is not None and not 4 * (digits - 2 + digits % 2) < num_bits <= 4 * digits:
        raise UsageError(
            f"{path}: {digits} hexadecimal digits do not hold codes of {num_bits} bits; leave out the length"
        )
    names = [_name(row, place, number) for number, row in cells]
    return names, BinaryCodes.from_hex([row[place] for _, row in cells], num_bits)


def _code_column(rows: list[list[str]]) -> int | None:
    """Return the column with codes of one length; of several the one with the longest."""
    width = min(len(row) for row in rows)
    lengths = {
        place: len(rows[0][place])
        for place in range(width)
        if len({len(row[place]) for row in rows}) == 1 and all(_HEX.fullmatch(row[place]) for row in rows)
    }
    return max(lengths, key=lambda place: lengths[place]) if lengths else None


def _name(row: list[str], place: int, number: int) -> str:
    others = [cell for at, cell in enumerate(row) if at != place and cell]
    return max(others, key=len) if others else f"line-{number}"
