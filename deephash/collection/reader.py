"""CollectionReader: open a collection and read what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection import schema as columns
from deephash.collection.card import CollectionCard, card_stamp
from deephash.collection.filters import Where
from deephash.collection.model_versions import ModelVersion, model_versions, spaces_of
from deephash.collection.parser import as_filter
from deephash.collection.rows import Ids, Rows
from deephash.collection.schema import CODE, HASH, ID, MODEL_VERSION, URI, CodeColumn
from deephash.collection.showing import Showing
from deephash.collection.stored import here
from deephash.collection.stored.copying import pull
from deephash.errors import CollectionDamaged, DatasetNotFound, IncompatibleModel, UsageError

ROWS, MODELS = "rows.lance", "models"
INSIDE = "collection:"  # uris of files that lie in the collection itself, such as uploads
UPLOADS = "uploads"  # the folder of such files


class Model(Protocol):
    """What a collection needs from a model; HashModel and :class:`deephash.encoding.CodeEncoder` have it.

    ``num_levels`` is 1 where it is missing, and ``method`` is the name of the class.
    """

    @property
    def num_bits(self) -> int:
        """K."""

    def fingerprint(self) -> str:
        """Return digits that change whenever the codes could."""

    def save(self, directory: Path) -> None:
        """Write the model folder."""


@dataclass(frozen=True)
class Item:
    """One row.

    Attributes:
        id: stable 64-bit number, never given to another row.
        uri: path relative to the collection's root, with ``/``, or any text where there is no root.
        content_hash: of the file's bytes; empty where unknown.
        attributes: the values that are present, without those that follow from the code (hub biases).
        model_version: number of the model that made its code, see :attr:`CollectionReader.model_versions`.
    """

    id: int
    uri: str
    content_hash: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    model_version: int = 1


class CollectionReader(Showing):
    """An open collection, to read from; it stays at the version it opened until :meth:`refresh`."""

    def __init__(self, path: Path, rows: Rows, *, pinned: bool = False) -> None:
        self.path = path
        self._rows = rows
        self._pinned = pinned
        self._card_seen = card_stamp(path)

    # Opening ---------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path, version: int | None = None) -> Self:
        """Open the latest version, or an earlier ``version`` for reading.

        Raises:
            DatasetNotFound: nothing is there.
            CollectionDamaged: it cannot be read, with what to do.
            FormatTooNew: written by a newer deephash.
            UsageError: no such version.
        """
        folder = here(path)
        if not folder.is_dir():
            raise DatasetNotFound(
                f"{folder}: no such collection; make it with: deephash index PICTURES --out {folder} --model RUN"
            )
        CollectionCard.load(folder)
        return cls(folder, Rows.open(folder / ROWS, version), pinned=version is not None)

    def refresh(self) -> Self:
        """Move on to the latest version. Returns the collection itself."""
        if self._pinned:
            raise UsageError(f"{self.path} was opened at version {self.version}; open it again without a version")
        latest = Rows.open(self.path / ROWS)
        if latest.version != self.version:
            pull(self.path)  # after the rows: whatever a version needs is in the store before it
        latest.remember(self._rows)
        self._rows = latest
        return self

    def is_latest(self) -> bool:
        """Say whether nobody has committed anything since; costs a small part of opening it.

        Raises:
            CollectionDamaged: it is no longer there, or cannot be read.
        """
        seen = card_stamp(self.path)
        if seen != self._card_seen:
            CollectionCard.load(self.path)
            self._card_seen = seen
        return self._rows.is_latest()

    # What it is ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Collection({str(self.path)!r}, {len(self):,} rows, {self.num_bits} bits, version {self.version})"

    @property
    def version(self) -> int:
        """Number of the version that is open."""
        return self._rows.version

    @property
    def card(self) -> CollectionCard:
        """The card beside the rows."""
        return CollectionCard.load(self.path)

    @property
    def root(self) -> Path | None:
        """Folder that the uris are relative to."""
        root = self.card.root
        return Path(root) if root is not None else None

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, those of codes and vectors too."""
        return list(self._rows.schema.names)

    @property
    def num_files(self) -> int:
        """Data files the rows are spread over; :meth:`Collection.compact` joins them."""
        return self._rows.num_files

    @property
    def code_columns(self) -> dict[str, CodeColumn]:
        """Every column of codes by name; the first is ``code``."""
        return columns.code_columns(self._rows.schema)

    @property
    def attribute_kinds(self) -> dict[str, str]:
        """{attribute: text, integer, number, yes/no or time}, as filters see them."""
        return columns.attribute_kinds(self._rows.schema)

    @property
    def model_versions(self) -> tuple[ModelVersion, ...]:
        """The models whose codes it holds, oldest first; one, until it is upgraded."""
        return model_versions(self._rows.schema)

    @property
    def current(self) -> ModelVersion:
        """The newest model: that of new rows and of queries."""
        return self.model_versions[-1]

    def rows_by_model(self) -> dict[int, int]:
        """Return how many rows have a code of each model, by its number."""
        if len(self.model_versions) == 1:
            return {1: len(self)}
        held = self._rows.read([MODEL_VERSION]).column(0).to_numpy()
        return {each.number: int(np.count_nonzero(held == each.number)) for each in self.model_versions}

    @property
    def spaces(self) -> tuple[ModelVersion, ...]:
        """The newest model of each column of codes that cannot be compared with the others, the current one first."""
        return spaces_of(self.model_versions)

    @property
    def num_bits(self) -> int:
        """K of the current model's codes."""
        return columns.column_of(self._rows.schema, self.current.column).num_bits

    @property
    def fingerprint(self) -> str | None:
        """Of the current model."""
        return self.current.fingerprint

    @property
    def has_vectors(self) -> bool:
        """Whether rows can keep a float16 vector."""
        return self.current.vectors in self._rows.schema.names

    @property
    def vector_dim(self) -> int | None:
        """D of the current model's vectors, or None."""
        return int(self._rows.schema.field(self.current.vectors).type.list_size) if self.has_vectors else None

    @property
    def model_path(self) -> Path | None:
        """Folder of the current model; None for codes from elsewhere."""
        return self.path_of_model(self.current.fingerprint)

    def model_path_of(self, column: str) -> Path | None:
        """Return the folder of the newest model of ``column``. Raises CollectionDamaged where it is missing."""
        newest = {each.column: each.fingerprint for each in self.model_versions}
        return self.path_of_model(newest.get(column, columns.column_of(self._rows.schema, column).fingerprint))

    def path_of_model(self, fingerprint: str | None) -> Path | None:
        """Return the folder of a model that the collection carries. Raises CollectionDamaged where it is missing."""
        if fingerprint is None:
            return None
        folder = self.path / MODELS / fingerprint
        if not folder.is_dir():
            raise CollectionDamaged(
                f"{folder} is missing: the model that made the codes of {self.path}. Copy the model folder of its "
                "training run there; the codes themselves are unharmed"
            )
        return folder

    def check_model(self, model: Model, column: str | None = None) -> None:
        """Raise IncompatibleModel unless ``model`` is the current one, or the one that made the codes of ``column``."""
        if column is None:
            mine = CodeColumn(self.num_bits, 1, self.current.fingerprint, self.current.model)
        else:
            mine = columns.column_of(self._rows.schema, column)
        other = describe_codes(layout_of(model), model)
        if mine.fingerprint != other.fingerprint:
            known = f"--model {self.path / MODELS / mine.fingerprint}" if mine.fingerprint else "no model at all"
            raise IncompatibleModel(
                f"{self.path} holds {mine.num_bits}-bit codes of {_called(mine)}; you asked for {_called(other)} with "
                f"{other.num_bits} bits. Use {known}, build another collection: deephash index PICTURES --out NEW.dh "
                f"--model RUN, or bring this one to another model: deephash upgrade {self.path} --model RUN"
            )

    def the_one_space(self, purpose: str) -> str:
        """Return the column of codes that all rows share. Raises UsageError where models differ, naming ``purpose``."""
        filled = [each for each in self.spaces if len(self.codes(each.column)[0])]
        if len(filled) > 1:
            raise UsageError(
                f"{self.path} holds codes of {' and '.join(each.called for each in filled)}, which cannot be compared; "
                f"to {purpose}, bring all rows to one model: deephash upgrade {self.path} --re-encode now"
            )
        return filled[0].column if filled else self.current.column

    # Reading ---------------------------------------------------------------------------------------

    def codes(self, column: str | None = None) -> tuple[Ids, BinaryCodes]:
        """Return (ids int64 [N] ascending, codes) of every row that has a code in ``column``, by default the current's.

        That is every row, unless models that cannot be compared made the codes (:attr:`spaces`).
        """
        column = column or self.current.column
        spec = columns.column_of(self._rows.schema, column)
        ids = np.empty(len(self._rows), np.int64)
        packed = np.empty((len(ids), spec.layout.width), np.uint8)
        end = 0
        all_here = column == CODE and not columns.is_upgraded(self._rows.schema)
        for batch in self._rows.batches([ID, column]):  # so that the rows are never in memory twice
            batch = self._with_codes(batch, column, all_here)
            start, end = end, end + len(batch)
            ids[start:end] = batch.column(0).to_numpy()
            packed[start:end] = batch.column(1).flatten().to_numpy().reshape(-1, spec.layout.width)
        ids, packed = ids[:end], packed[:end]
        if not bool((ids[1:] > ids[:-1]).all()):
            order = np.argsort(ids, kind="stable")
            ids, packed = ids[order], packed[order]
        return ids, BinaryCodes(packed, spec.num_bits, spec.num_levels)

    def _with_codes(self, batch: pa.RecordBatch, column: str, all_here: bool) -> pa.RecordBatch:
        """Return the rows that have a code in ``column``. Raises CollectionDamaged where all must have one."""
        empty = batch.column(1).null_count
        batch = batch.filter(batch.column(1).is_valid()) if empty else batch
        if (empty and all_here) or batch.column(1).flatten().null_count or batch.column(0).null_count:
            raise CollectionDamaged(
                f"{self.path}: a row has no code in {column!r}, or a part of one; restore an earlier version: "
                f"deephash collection versions {self.path}"
            )
        return batch

    def ids(self) -> Ids:
        """Return the ids of all rows, ascending."""
        return self._rows.ids()

    def items(self, ids: ArrayLike, *, with_hashes: bool = True) -> list[Item]:
        """Return the rows with these ids, in the order given. Raises UsageError for an unknown id.

        Without hashes of their content, which no answer shows, reading takes a third of the time.
        """
        kept = [name for name in self.attribute_kinds if not columns.is_derived(name)]
        shown = list(dict.fromkeys([ID, URI, *([HASH] if with_hashes else []), *kept]))
        upgraded = columns.is_upgraded(self._rows.schema)
        return [_item(row, upgraded) for row in self._rows.take(ids, shown).to_pylist()]

    def codes_of(self, ids: ArrayLike, column: str) -> BinaryCodes:
        """Return the codes of rows in a further column, in the order given. Raises UsageError for a row without one."""
        spec = columns.column_of(self._rows.schema, column)
        held = self._rows.take(ids, [column]).column(0)
        if held.null_count:
            raise UsageError(f"{held.null_count} of these rows have no code in {column!r}; index their pictures again")
        return BinaryCodes(columns.matrix(held, np.uint8, spec.layout.width), spec.num_bits, spec.num_levels)

    def vectors(self, ids: ArrayLike) -> NDArray[np.float16]:
        """Return float16 vectors [n, D] in the order given. Raises UsageError where there are none."""
        dim = self.vector_dim
        if dim is None:
            raise UsageError(f"{self.path} keeps no vectors; index again with --keep-vectors to re-rank by them")
        column = self._rows.take(ids, [self.current.vectors]).column(0)
        if column.null_count:
            raise UsageError(
                f"{column.null_count} of these rows have no vector of the current model; give them one: "
                f"deephash upgrade {self.path} --re-encode now"
                if len(self.model_versions) > 1
                else f"{column.null_count} of these rows have no vector; index them again with --keep-vectors"
            )
        found = columns.matrix(column, np.float16, dim)
        if not np.isfinite(found).all():
            raise CollectionDamaged(f"{self.path} keeps vectors with NaN or infinity; restore an earlier version")
        return found

    def matching(self, where: Where) -> Ids:
        """Return the sorted ids of the rows that pass a filter: a Filter, its data, or text like ``year >= 2019``."""
        sql = as_filter(where).to_sql(self.attribute_kinds)
        return np.sort(self._rows.read([ID], sql).column(ID).to_numpy())

    def find(self, uris: Sequence[str]) -> dict[str, int]:
        """Return {uri: id} of those ``uris`` that are in the collection."""
        table = self._rows.read([ID, URI])
        table = table.filter(pc.is_in(table.column(URI), value_set=columns.text_array("uris", uris)))
        return dict(zip(table.column(URI).to_pylist(), table.column(ID).to_pylist()))

    def table(self, names: Sequence[str]) -> pa.Table:
        """Return whole columns as an Arrow table, rows in ascending order of id."""
        return self._rows.read(list(dict.fromkeys([ID, *names]))).sort_by(ID)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column of all rows in the order they lie on disk, as counting needs it."""
        return self._rows.read([name]).column(name)

    def picture_path(self, item: Item) -> Path:
        """Return where the picture of ``item`` lies: below the root, or in the collection for ``collection:...``.

        Raises:
            UsageError: there is no root, or the uri leads out of it.
        """
        inside = item.uri.startswith(INSIDE)
        root = self.path if inside else self.root
        if root is None:
            raise UsageError(f"{self.path} holds codes without pictures: it has no root folder")
        try:
            path = (root / item.uri.removeprefix(INSIDE)).resolve()
            below = path.is_relative_to(root.resolve())
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
            raise UsageError(f"{item.uri!r:.200} names no file: {error}") from None
        if not below:
            raise UsageError(f"{item.uri!r} leads out of {root}; such a file is not shown")
        return path


def layout_of(model: Model) -> CodeLayout:
    """Return the layout of the codes that ``model`` makes."""
    return CodeLayout(model.num_bits, getattr(model, "num_levels", 1))


def describe_codes(layout: CodeLayout, model: Model | None) -> CodeColumn:
    """Return the description of the codes that ``model`` makes, or of codes from elsewhere."""
    if model is None:
        return CodeColumn(layout.num_bits, layout.num_levels)
    made = layout_of(model)
    if made != layout:
        raise UsageError(f"the model makes codes of {made.describe()}, not {layout.describe()}")
    return CodeColumn(
        layout.num_bits, layout.num_levels, model.fingerprint(), getattr(model, "method", type(model).__name__)
    )


def _called(column: CodeColumn) -> str:
    return f"{column.model} ({column.fingerprint})" if column.fingerprint else column.model


def _item(row: dict[str, Any], upgraded: bool) -> Item:
    fixed = {"id": row.pop(ID), "uri": row.pop(URI), "content_hash": row.pop(HASH, None) or ""}
    fixed["model_version"] = row.pop(MODEL_VERSION, 1) if upgraded else 1
    if fixed["uri"] is None:
        raise CollectionDamaged(f"the row {fixed['id']} has no uri; restore an earlier version of the collection")
    return Item(**fixed, attributes={name: value for name, value in row.items() if value is not None})
