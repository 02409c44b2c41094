"""Collection: pictures, their attributes and their codes in one Lance data set, the truth on disk.

Layout of ``X.dh``: ``collection.json`` (card), ``rows.lance`` (the rows, atomic versioned commits), ``models/<print>``
(each model that made a code column), ``next_id``, ``write.lock``. See docs/formats.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection import schema as columns
from deephash.collection.card import CollectionCard, replace_file, root_text
from deephash.collection.kinds import WIDENS
from deephash.collection.leftovers import sweep_unfinished
from deephash.collection.next_id import next_id
from deephash.collection.reader import ROWS, Model, describe_codes
from deephash.collection.rows import Ids, Rows, require_utf8
from deephash.collection.schema import CODE, HASH, ID, MODEL_VERSION, URI
from deephash.collection.stored import here
from deephash.collection.stored.copying import push, remove_stored
from deephash.collection.stored.lease import leased
from deephash.collection.writer import CollectionWriter, save_model
from deephash.errors import IncompatibleModel, UsageError
from deephash.foreign.replacing import put_in_place
from deephash.numbers import whole

_NEXT_ID = "next_id"


class Collection(CollectionWriter):
    """An open collection. Readers see the version they opened until :meth:`refresh`; writers take turns.

    Use :meth:`create` or :meth:`open`.
    """

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        num_bits: int,
        num_levels: int = 1,
        model: Model | None = None,
        vector_dim: int | None = None,
        root: str | Path | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make an empty collection; it appears at ``path`` complete or not at all.

        Args:
            path: a new folder, by custom ending in ``.dh``; or ``s3://BUCKET/NAME.dh``.
            num_bits: K.
            num_levels: L, more than 1 only for recurrent codes.
            model: copied into the collection, so that it is self-contained; None for codes from elsewhere.
            vector_dim: D, to keep a float16 vector a row for re-ranking.
            root: folder, or address in an object store, that the uris are relative to.
            notes: first facts for the card.

        Raises:
            UsageError: something is at ``path`` already, or a size is wrong.
        """
        target = here(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} exists already; Collection.open opens it, or choose another name")
        layout = CodeLayout(num_bits, num_levels)
        if vector_dim is not None:
            whole(vector_dim, "vector_dim", least=1)
        require_utf8(target)
        sweep_unfinished(target)
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            scratch.mkdir(parents=True)
            code = describe_codes(layout, model)
            save_model(scratch, model)
            where = root_text(root) if root is not None else None
            CollectionCard(root=where, notes=dict(notes or {})).save(scratch)
            with leased(target) as lease:
                if lease is not None and here(target).exists():  # somebody else was quicker
                    raise UsageError(f"{target} exists already; Collection.open opens it, or choose another name")
                Rows.create((scratch if lease is None else target) / ROWS, columns.base_schema(code, vector_dim))
                put_in_place(scratch, target)
                push(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return cls.open(target)

    def discard(self) -> None:
        """Remove the collection from its disk, or from the object store."""
        remove_stored(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    # Writing ---------------------------------------------------------------------------------------

    def append(
        self,
        *,
        uris: Sequence[str],
        codes: BinaryCodes,
        content_hashes: Sequence[str] | None = None,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        vectors: ArrayLike | None = None,
        further: Mapping[str, BinaryCodes] | None = None,
        made_by: str | None = None,
    ) -> Ids:
        """Add rows in one commit and return their new ids, int64 [n] ascending.

        Args:
            uris: one a row, not yet in the collection.
            codes: of the collection's length.
            content_hashes: one a row, by which renamed files are recognised.
            attributes: one mapping a row; a name seen for the first time becomes a column.
            vectors: [n, D] floats, kept as float16.
            further: codes for other columns, see :meth:`add_column`.
            made_by: fingerprint of the model that made the codes, where it may have been replaced meanwhile.

        Raises:
            UsageError: lengths, kinds or uris do not fit; nothing is written then.
            IncompatibleModel: the collection has another model by now; nothing is written then.
        """
        with self._writing():
            self._require_current(made_by)
            table = self._as_table(uris, codes, content_hashes, attributes, vectors, further)
            known = self._known_among(uris)
            if known:
                raise UsageError(
                    f"{len(known)} uri(s) are there already, the first {next(iter(known))!r}; put replaces"
                )
            ids = self._reserve_ids(len(uris))
            self._rows.insert(table.append_column(self._rows.schema.field(ID), pa.array(ids)))
            self._came_to_know()
        return ids

    def put(
        self,
        *,
        uris: Sequence[str],
        codes: BinaryCodes,
        content_hashes: Sequence[str] | None = None,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        vectors: ArrayLike | None = None,
        further: Mapping[str, BinaryCodes] | None = None,
        made_by: str | None = None,
    ) -> Ids:
        """Do what :meth:`append` does, but replace rows whose uri is known.

        They keep their id and the attributes that are not given; further code columns and hub biases are emptied there,
        because they belong to the old content.

        Args:
            uris: see :meth:`append`, as the others.
            codes: by the current model.
            content_hashes: one a row.
            attributes: one mapping a row.
            vectors: [n, D].
            further: see :meth:`append`.
            made_by: see :meth:`append`.

        Raises:
            IncompatibleModel: the collection has another model by now; nothing is written then.
        """
        with self._writing():
            self._require_current(made_by)
            known = self._known_among(uris)
            attributes = self._overlaid(uris, known, [{}] * len(uris) if attributes is None else attributes)
            table = self._as_table(uris, codes, content_hashes, attributes, vectors, further)
            fresh = iter(self._reserve_ids(len(uris) - len(known)).tolist())
            ids = np.array([known[uri] if uri in known else next(fresh) for uri in uris], np.int64)
            table = table.append_column(self._rows.schema.field(ID), pa.array(ids))
            if known:
                self._rows.merge(columns.completed(table, self._rows.schema))
            else:
                self._rows.insert(table)
            self._came_to_know()
        return ids

    def update(
        self, ids: ArrayLike, attributes: Sequence[Mapping[str, Any]], *, uris: Sequence[str] | None = None
    ) -> None:
        """Set attributes of existing rows in one commit; the others stay, and None empties one.

        Raises:
            UsageError: an id is unknown, a value does not fit its column, or a new uri is taken.
        """
        rows = np.atleast_1d(np.asarray(ids, np.int64))
        if len(attributes) != len(rows) or len(np.unique(rows)) != len(rows):
            raise UsageError(f"one mapping of attributes for each different id: {len(attributes)} for {len(rows)} ids")
        with self._writing():
            self._add_attribute_columns(attributes)
            known = set(self._rows.schema.names)  # a new name that is None throughout made no column
            names = [name for name in dict.fromkeys(name for row in attributes for name in row) if name in known]
            table = self._rows.take(rows, [ID, *names])
            for name in names:
                old = table.column(name).to_pylist()
                new = [given.get(name, value) for given, value in zip(attributes, old)]
                place = table.schema.get_field_index(name)
                table = table.set_column(place, table.field(name), columns.attribute_array(table.field(name), new))
            if uris is not None:
                self._check_free(uris, rows)
                table = table.append_column(self._rows.schema.field(URI), columns.text_array("uris", uris))
            if table.num_columns > 1 and len(rows):
                self._rows.merge(table)

    def remove(self, ids: ArrayLike) -> int:
        """Remove rows; unknown ids are ignored. Returns how many went. Earlier versions keep them."""
        with self._writing():
            wanted, held = np.unique(np.asarray(ids, np.int64)), self.ids()
            gone = wanted[np.searchsorted(held, wanted) < np.searchsorted(held, wanted, side="right")]
            if len(gone):
                self._rows.delete(gone)
        return len(gone)

    def add_codes(self, column: str, ids: ArrayLike, codes: BinaryCodes, *, model: Model | None = None) -> None:
        """Set codes of existing rows in another column, which is made when it is new (another length, another model).

        Raises:
            UsageError: the name, the ids or the length do not fit.
            IncompatibleModel: the column holds codes of another model.
        """
        rows = np.atleast_1d(np.asarray(ids, np.int64))
        if len(rows) != len(codes) or len(np.unique(rows)) != len(rows):
            raise UsageError(f"one code for each different id: {len(codes)} codes for {len(rows)} ids")
        with self._writing():
            self._rows.take(rows, [ID])
            if column not in self.code_columns:
                columns.check_name(column)
                if column in self._rows.schema.names:
                    raise UsageError(f"{column!r} is an attribute of {self.path}; choose another name for the codes")
                save_model(self.path, model)
                self._rows.add_columns([describe_codes(codes.layout, model).field(column)])
            elif model is not None:
                self.check_model(model, column)
            spec = self._checked(codes, column)
            table = pa.table(
                [pa.array(rows), columns.code_array(codes)], pa.schema([self._rows.schema.field(ID), spec])
            )
            self._rows.merge(table)

    def add_column(self, column: str, num_bits: int) -> None:
        """Make an empty column for codes of another kind by the current model, such as product codes.

        Raises:
            UsageError: the name is taken, or cannot name a column.
        """
        with self._writing():
            columns.check_name(column)
            if column in self._rows.schema.names:
                raise UsageError(f"{column!r} is a column of {self.path} already")
            self._rows.add_columns(
                [columns.CodeColumn(num_bits, 1, self.fingerprint, self.current.model).field(column)]
            )

    def widen(self, name: str, kind: str) -> None:
        """Make an attribute of integers one of numbers or of text; no value changes, 7 becomes "7".

        Raises:
            UsageError: no such attribute, or its values would not stay what they are.
        """
        with self._writing():
            held = self.attribute_kinds.get(name)
            if (held, kind) not in WIDENS or name in columns.FILE_ATTRIBUTES:
                raise UsageError(f"column {name!r} holds {held or 'nothing'} and cannot become {kind}")
            self._rows.recast(name, columns.KINDS[kind])

    def drop_codes(self, column: str) -> None:
        """Forget a further code column; earlier versions keep it."""
        with self._writing():
            if column in {CODE, *(each.column for each in self.model_versions)}:
                raise UsageError(f"{column!r} is the collection's own code column and stays")
            columns.column_of(self._rows.schema, column)
            self._rows.drop_column(column)

    # Inside ----------------------------------------------------------------------------------------

    def _require_current(self, made_by: str | None) -> None:
        if made_by is not None and made_by != self.fingerprint:
            raise IncompatibleModel(
                f"{self.path} was upgraded from the model {made_by} to {self.current.called} meanwhile; run the "
                "command again, and what is left is encoded by the new one"
            )

    def _as_table(
        self,
        uris: Sequence[str],
        codes: BinaryCodes,
        hashes: Sequence[str] | None,
        attributes: Sequence[Mapping[str, Any]] | None,
        vectors: ArrayLike | None,
        further: Mapping[str, BinaryCodes] | None,
    ) -> pa.Table:
        """Check new rows and return them as a table without ids."""
        count = len(uris)
        given = [count if each is None else len(each) for each in (codes, hashes, attributes)]
        if given != [count] * 3:
            raise UsageError(
                f"one code, hash and mapping a uri: {count} uris, {given[0]} codes, {given[1]} hashes, "
                f"{given[2]} mappings"
            )
        attributes = () if attributes is None else attributes
        if len(set(uris)) != count:
            raise UsageError(f"uri {columns.first_twice(uris)!r} is given twice")
        self._add_attribute_columns(attributes)
        schema = self._rows.schema
        no_hashes = pa.repeat(pa.scalar("", pa.string()), count)
        arrays = {
            URI: columns.text_array("uris", uris),
            HASH: no_hashes if hashes is None else columns.text_array("content_hashes", hashes),
        }
        for name in (name for name in columns.names_in(attributes) if name in schema.names):
            arrays[name] = columns.attribute_array(schema.field(name), [row.get(name) for row in attributes])
        if vectors is not None:
            arrays[self.current.vectors] = columns.vector_array(vectors, self._needed_dim(), count)
        for name, some in {**(further or {}), self.current.column: codes}.items():
            self._checked(some, name)
            if len(some) != count:
                raise UsageError(f"one code a uri in {name!r}: {count} uris, {len(some)} codes")
            arrays[name] = columns.code_array(some)
        if columns.is_upgraded(schema):
            arrays[MODEL_VERSION] = pa.array([self.current.number] * count, pa.int64())
        return pa.table(list(arrays.values()), pa.schema([schema.field(name) for name in arrays]))

    def _overlaid(
        self, uris: Sequence[str], known: Mapping[str, int], attributes: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Return ``attributes`` laid over those that the rows of known uris have and that outlive their old code."""
        old = {item.uri: item.attributes for item in self.items(list(known.values()))}
        return [{**old.get(uri, {}), **given} for uri, given in zip(uris, attributes)]

    def _add_attribute_columns(self, attributes: Sequence[Mapping[str, Any]]) -> None:
        self._rows.add_columns(columns.new_fields(self._rows.schema, attributes))

    def check_attributes(self, attributes: Sequence[Mapping[str, Any]]) -> None:
        """Raise UsageError where a value does not fit its column; nothing is written."""
        new = {field.name: field for field in columns.new_fields(self._rows.schema, attributes)}
        for name in columns.names_in(attributes):
            field = new.get(name) or (self._rows.schema.field(name) if name in self._rows.schema.names else None)
            if field is not None:
                columns.attribute_array(field, [row.get(name) for row in attributes])

    def _checked(self, codes: BinaryCodes, column: str) -> pa.Field:
        """Return the Arrow field of a code column. Raises UsageError if ``codes`` have another length."""
        spec = columns.column_of(self._rows.schema, column)
        if codes.layout != spec.layout:
            raise UsageError(
                f"column {column!r} of {self.path} holds codes of {spec.layout.describe()}, "
                f"not {codes.layout.describe()}; add_codes keeps them in a column of their own"
            )
        return self._rows.schema.field(column)

    def _needed_dim(self) -> int:
        if self.vector_dim is None:
            raise UsageError(f"{self.path} was made without vectors; make it anew with vector_dim (--keep-vectors)")
        return self.vector_dim

    def _check_free(self, uris: Sequence[str], rows: Ids) -> None:
        if len(uris) != len(rows) or len(set(uris)) != len(uris):
            raise UsageError("one different uri for each id")
        taken = {uri: holder for uri, holder in self.find(uris).items() if holder not in set(rows.tolist())}
        if taken:
            raise UsageError(f"uri {next(iter(taken))!r} belongs to another row")

    def _reserve_ids(self, count: int) -> Ids:
        """Take ``count`` numbers that no row has or ever had; a crash afterwards only wastes them."""
        file = self.path / _NEXT_ID
        first = next_id(file, after=int(self.ids().max(initial=-1)))
        if count:
            replace_file(file, str(first + count))
        return np.arange(first, first + count, dtype=np.int64)
