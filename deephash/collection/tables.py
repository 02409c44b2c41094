"""A table that anybody wrote: separators, quotes, headings and their synonyms are understood here and nowhere else.

``.csv``, ``.tsv`` and ``.parquet``. Cells are text, byte for byte; whoever wants numbers reads them out of the text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.errors import DataError, DatasetNotFound, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

PATH = ("path", "uri", "file", "filename", "file_name", "filepath", "image", "image_path", "picture")
NAME = ("name", "names")
LABELS = ("labels", "label", "class", "classes", "category", "categories")
TEXT = ("text", "texts", "caption", "captions")
SPLIT = ("split", "splits", "subset", "partition")
HASH = ("hash", "code", "codes", "phash", "ahash", "dhash", "whash", "pdq", "hex")

_LONGEST_CELL = 1 << 24

Line = tuple[int, list[str]]  # its number, its cells


@dataclass(frozen=True)
class Table:
    """Headed columns of text.

    Attributes:
        source: the file, for messages.
        columns: heading -> one cell a row; an empty cell is "".
        lines: line of the file where each row begins; empty for Parquet.
    """

    source: str
    columns: Mapping[str, list[str]]
    lines: Sequence[int] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def heading(self, names: Collection[str]) -> str | None:
        """Return the heading that is one of ``names``, the earlier ones first, whatever its case; None without."""
        spelt = {heading.lower(): heading for heading in reversed(list(self.columns))}
        return next((spelt[name] for name in names if name in spelt), None)

    def require(self, names: Collection[str]) -> str:
        """Return what :meth:`heading` does. Raises UsageError where there is none."""
        found = self.heading(names)
        if found is None:
            raise UsageError(
                f"{self.source} has no column {' or '.join(names)}; its head line is: "
                f"{', '.join(self.columns) or 'empty'}"
            )
        return found

    def unused(self, used: Collection[str | None]) -> list[str]:
        """Return the headings of columns that nobody read."""
        return [heading for heading in self.columns if heading not in used]

    def line(self, row: int) -> str:
        """Return where a row stands, for messages."""
        return f"{self.source}, line {self.lines[row]}" if self.lines else f"{self.source}, row {row}"


def read_table(path: str | Path) -> Table:
    """Read a table whose first line names its columns.

    Raises:
        DatasetNotFound: no such file.
        DataError: it cannot be read, or a line has another number of cells than the first.
        UsageError: it is empty, or a heading stands there twice.
    """
    source = Path(path)
    if not source.is_file():
        raise DatasetNotFound(f"{source} cannot be read: no such file")
    if source.suffix.lower() == ".parquet":
        return _of_parquet(source)
    rows = read_rows(source)
    if not rows:
        raise UsageError(
            f"{source} is empty; its head line is: empty. The first line names the columns: path,label,..."
        )
    (_, head), *body = without_empty_columns(rows)
    headings = [heading.strip() for heading in head]
    _require_distinct(source, headings)
    for number, cells in body:
        if len(cells) != len(headings):
            raise DataError(
                f"{source}, line {number}: {len(cells)} cells where the first line names {len(headings)} columns; "
                'cells that hold the separator stand in quotes: "Smith, John.jpg"'
            )
    columns = {heading: [cells[place] for _, cells in body] for place, heading in enumerate(headings)}
    return Table(str(source), columns, [number for number, _ in body])


def read_rows(path: Path) -> list[Line]:
    """Return (line number, cells) of every line that is not empty, the first one included.

    Raises:
        DatasetNotFound: no such file.
        DataError: it is no text, or its quotes do not close.
    """
    return rows_of(path, read_text(path))


def rows_of(path: Path, text: str) -> list[Line]:
    """Return what :func:`read_rows` does, of a file's text."""
    separator = separator_of(path, text)
    first = text.partition("\n")[0]
    # "path, label": the blank belongs to the comma, where each has one
    blanks = 0 < first.count(separator) == first.count(f"{separator} ")
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=blanks, strict=True)
    return list(_numbered(path, reader))


def without_empty_columns(rows: Sequence[Line]) -> list[Line]:
    """Return the rows less the last columns that hold nothing, not even a heading: every line ends in a comma."""
    width = max((place + 1 for _, cells in rows for place, cell in enumerate(cells) if cell.strip()), default=0)
    return [(number, cells[:width]) for number, cells in rows]


def _numbered(path: Path, reader: Any) -> Iterator[Line]:
    try:
        for cells in reader:
            if cells and any(cells):
                yield reader.line_num - sum(cell.count("\n") for cell in cells), cells
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}; it is no table of text with quotes that close"
        ) from None


def read_text(path: Path) -> str:
    """Return a text file: UTF-8, or UTF-16 as spreadsheets write it. Raises DatasetNotFound or DataError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DatasetNotFound(f"{path} cannot be read: no such file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} cannot be read as UTF-8 text: {error}. Convert it: iconv -f latin1 -t utf-8 {path} > new.csv"
        ) from None


def separator_of(path: Path, text: str) -> str:
    """Return the separator: a tab, where there is one and the file is no .csv; else the commonest in the first line."""
    first = text.partition("\n")[0]
    if "\t" in first and path.suffix.lower() != ".csv":
        return "\t"
    return max(",\t;", key=first.count)


def tab_line(cells: Sequence[object]) -> str:
    """Return one line of a tab-separated table; csv.writer leaves a lone carriage return without quotes."""
    texts = [str(cell) for cell in cells]
    quoted = [f'"{text.replace(chr(34), 2 * chr(34))}"' if set(text) & set('\t\n\r"') else text for text in texts]
    return "\t".join(quoted) + "\n"


def _require_distinct(source: Path, headings: Sequence[str]) -> None:
    seen: set[str] = set()
    for heading in headings:
        if heading in seen:
            raise UsageError(f"{source} names the column {heading!r} twice")
        seen.add(heading)


def read_parquet(path: Path) -> pa.Table:
    """Return a Parquet file as it is. Raises DataError, or UsageError where a column is there twice."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None
    _require_distinct(path, table.column_names)
    return table


def _of_parquet(path: Path) -> Table:
    import pyarrow as pa

    table = read_parquet(path)
    columns = {
        name: [_as_text(value) for value in table[name].to_pylist()]
        for name in table.column_names
        if not pa.types.is_binary(table.schema.field(name).type)
        and not pa.types.is_fixed_size_binary(table.schema.field(name).type)
    }
    return Table(str(path), columns)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return "|".join(map(_as_text, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)
