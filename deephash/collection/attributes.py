"""User columns from a table: one line a picture, a ``path`` column, anything else an attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deephash.collection.collection import Collection
from deephash.collection.kinds import WIDENS, check_kind, first_misfit, guess_kind, read_cell
from deephash.collection.schema import FILE_ATTRIBUTES, check_name, file_attribute_kinds, first_twice
from deephash.collection.tables import PATH, Table, read_table
from deephash.errors import UsageError

Values = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class AppliedAttributes:
    """What became of a table.

    Attributes:
        updated: rows that changed.
        matched: lines whose picture is in the collection.
        unmatched: paths that are not.
    """

    updated: int
    matched: int
    unmatched: list[str]


@dataclass(frozen=True)
class AttributeTable(Mapping[str, dict[str, Any]]):
    """{path: {attribute: value}}, and the text that the values were read from.

    Attributes:
        table: the text.
        path: heading of the column of paths.
        paths: of the rows, relative, with slashes.
        kinds: {attribute: kind}, as said or as all its cells allow.
        said: attributes whose kind was said.
    """

    table: Table
    path: str
    paths: Sequence[str]
    kinds: Mapping[str, str]
    said: frozenset[str] = frozenset()
    _values: Values = field(default_factory=dict)

    def __getitem__(self, path: str) -> dict[str, Any]:
        return self._values[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, path: object) -> bool:
        return path in self._values

    def fitted(self, existing: Mapping[str, str]) -> tuple[AttributeTable, dict[str, str]]:
        """Return the table as a collection with columns of ``existing`` kinds takes it, and {column: new kind}.

        A value is read as the column's kind where all of them can be; else the column is widened, where that changes
        no value in it.

        Raises:
            UsageError: neither can be, with the line that does not fit.
        """
        kinds, widened = dict(self.kinds), {}
        for name, kind in self.kinds.items():
            held = existing.get(name, kind)
            misfit = first_misfit(held, self.table.columns[name])
            if misfit is None and (name not in self.said or held == kind):
                kinds[name] = held
            elif (held, kind) in WIDENS and name not in FILE_ATTRIBUTES:
                widened[name] = kind
            elif misfit is None:
                raise UsageError(f"column {name!r} holds {held} in this collection, and cannot become {kind}")
            else:
                raise UsageError(self._clash(name, held, misfit))
        same = kinds == self.kinds  # as mostly, and typing every cell takes a while
        return self if same else _typed(self.table, self.path, self.paths, kinds, self.said), widened

    def _clash(self, name: str, held: str, misfit: str) -> str:
        where = self.table.line(self.table.columns[name].index(misfit))
        return (
            f"column {name!r} holds {held} in this collection, and {where} says {misfit!r}; nothing was changed. "
            f"Give the column another name in the table, or make the collection anew with --type {name}=text"
        )


def read_attributes(file: str | Path, kinds: Mapping[str, str] | None = None) -> AttributeTable:
    """Read a table of attributes; each column is yes/no, integer, number, time or text, as all its cells allow.

    Labels, names and captions are text, byte for byte. An empty cell is None.

    Args:
        file: ``.csv``, ``.tsv`` or ``.parquet`` with a column ``path`` (or uri, file, filename, ...).
        kinds: {attribute: kind}, said instead of guessed.

    Raises:
        DataError: the file is missing, no table, or a line has another length than the first.
        UsageError: no path column, a name that cannot name a column, a path twice, or a cell not of the kind said.
    """
    table = read_table(file)
    if table.heading(PATH) is None:
        raise UsageError(f"{table.source} has no column 'path' (its first line is {', '.join(table.columns)!r:.80})")
    path = table.require(PATH)
    names = [name for name in table.columns if name and name != path]  # pandas leaves its row numbers unnamed
    for name in names:
        check_name(name, f"{table.source}: ")
    said = {name: check_kind(kind) for name, kind in (kinds or {}).items()}
    for name, kind in said.items():
        if name not in names:
            raise UsageError(f"{table.source} has no column {name!r} of {kind}; it has: {', '.join(names)}")
        misfit = first_misfit(kind, table.columns[name])
        if misfit is not None:
            where = table.line(table.columns[name].index(misfit))
            raise UsageError(f"{where}: {misfit!r} is no {kind}, which {name!r} was said to hold")
    paths = [cell.removeprefix("./") for cell in table.columns[path]]
    if not any("/" in one for one in paths):  # written on Windows
        paths = [one.replace("\\", "/").removeprefix("./") for one in paths]
    if len(set(paths)) != len(paths):
        raise UsageError(f"{table.source} names {first_twice(paths)!r} more than once")
    guessed = {name: said.get(name) or guess_kind(name, table.columns[name]) for name in names}
    return _typed(table, path, paths, guessed, frozenset(said))


def read_kinds(words: Sequence[str]) -> dict[str, str]:
    """Return {column: kind} of words such as ``zip=text``. Raises UsageError."""
    kinds = {}
    for word in words:
        name, separator, kind = word.partition("=")
        if not separator:
            raise UsageError(f"--type is COLUMN=KIND, for example zip=text, not {word!r}")
        kinds[name.strip()] = check_kind(kind.strip())
    return kinds


def check_attributes(collection: Collection | None, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError where a value does not fit its column; None is a collection that is still to be made."""
    if isinstance(table, AttributeTable):
        table.fitted(file_attribute_kinds() if collection is None else collection.attribute_kinds)
    elif collection is not None:
        collection.check_attributes(list(table.values()))


def prepare_attributes(
    collection: Collection, table: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Any]]:
    """Make a table fit the columns of a collection, widening some where needed.

    Raises:
        UsageError: a value does not fit; nothing was changed then.
    """
    if not isinstance(table, AttributeTable):
        return table
    fitted, widened = table.fitted(collection.attribute_kinds)
    for name, kind in widened.items():
        collection.widen(name, kind)
    return fitted


def apply_attributes(collection: Collection, table: Mapping[str, Mapping[str, Any]]) -> AppliedAttributes:
    """Set the attributes of those rows whose uri is in ``table``, in one commit; rows that have them stay untouched."""
    table = prepare_attributes(collection, table)
    found = collection.find(list(table))
    items = collection.items(list(found.values()))
    changed = [
        item for item in items if any(item.attributes.get(name) != value for name, value in table[item.uri].items())
    ]
    if changed:
        collection.update([item.id for item in changed], [table[item.uri] for item in changed])
    return AppliedAttributes(len(changed), len(found), [path for path in table if path not in found])


def _typed(
    table: Table, path: str, paths: Sequence[str], kinds: Mapping[str, str], said: frozenset[str]
) -> AttributeTable:
    columns = {name: [read_cell(kind, cell) for cell in table.columns[name]] for name, kind in kinds.items()}
    values = {name: {column: cells[row] for column, cells in columns.items()} for row, name in enumerate(paths)}
    return AttributeTable(table, path, paths, kinds, said, values)
