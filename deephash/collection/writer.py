"""CollectionWriter: what is written of a collection besides its rows: versions, the card, the models of its codes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.collection import schema as columns
from deephash.collection.card import FORMAT_VERSION, root_text
from deephash.collection.known_uris import KnownUris, hashes_of
from deephash.collection.leftovers import sweep_leftovers
from deephash.collection.lock import write_lock
from deephash.collection.model_versions import ModelVersion, as_metadata
from deephash.collection.reader import (
    INSIDE,
    MODELS,
    UPLOADS,
    CollectionReader,
    Item,
    Model,
    describe_codes,
    layout_of,
)
from deephash.collection.rows import CollectionVersion, Ids
from deephash.collection.schema import HASH, ID, MODEL_VERSION, URI
from deephash.collection.stored.copying import pull, push, remove_file
from deephash.collection.stored.lease import Lease, leased
from deephash.errors import CollectionDamaged, UsageError
from deephash.foreign.replacing import put_in_place

_LOCK = "write.lock"


class CollectionWriter(CollectionReader):
    """An open collection whose versions, card and models can be changed; its rows are written by the class above."""

    _known: KnownUris | None = None  # of the version below; made by the second commit in a row: one would not pay
    _known_stamp: tuple[int, str] | None = None
    _asked: NDArray[np.int64]  # hashes of the uris that were looked for last

    # Versions --------------------------------------------------------------------------------------

    def versions(self) -> list[CollectionVersion]:
        """Return every version that is kept, oldest first."""
        return self._rows.versions()

    def restore(self, version: int) -> None:
        """Make an earlier version the latest, as a new commit, so that this can be undone too."""
        with self._writing():
            self._rows.restore(version)

    def compact(self, *, forget_older_than: timedelta | None = None) -> None:
        """Join small files and drop removed rows from them.

        Args:
            forget_older_than: also delete versions of that age, and the disk space that only they used. Readers that
                still have one of them open fail on their next read.

        Raises:
            UsageError: a negative age.
        """
        if forget_older_than is not None and forget_older_than < timedelta():
            raise UsageError(f"versions are forgotten by their age, which is at least 0 days, not {forget_older_than}")
        with self._writing():
            self._rows.compact(forget_older_than)

    def copy_rows_to(self, path: Path) -> None:
        """Write the rows of this version, and nothing of earlier ones, into a new folder."""
        self._rows.copy_to(path)

    def check(self) -> None:
        """Read everything. Raises CollectionDamaged if anything cannot be read, or if ids or uris are there twice."""
        self._rows.check()
        ids = self.ids()
        uris = self._rows.read([URI]).column(URI)
        if (ids[1:] == ids[:-1]).any() or pc.count_distinct(uris).as_py() != len(ids):
            raise CollectionDamaged(f"{self.path} holds an id or a uri twice; restore an earlier version")
        for column in self.code_columns:
            self.codes(column)
            self.model_path_of(column)
        self._check_every_row_has_its_code()

    def _check_every_row_has_its_code(self) -> None:
        for version in self.model_versions if MODEL_VERSION in self._rows.schema.names else ():
            self.path_of_model(version.fingerprint)
            table = self._rows.read([ID, version.column], f"{MODEL_VERSION} = {version.number}")
            if table.column(1).null_count:
                raise CollectionDamaged(
                    f"{self.path}: {table.column(1).null_count:,} rows of model version {version.number} have no code "
                    f"in {version.column!r}; restore an earlier version"
                )

    def note(self, name: str, value: Any) -> None:
        """Write a measured fact (JSON) into the card."""
        with self._writing():
            self.card.with_note(name, value).save(self.path)

    def move_root(self, root: str | Path) -> None:
        """Say that the pictures lie below another folder now, under the same relative paths."""
        with self._writing():
            replace(self.card, root=root_text(root)).save(self.path)

    def remove_picture(self, item: Item) -> None:
        """Remove the file of an item that lies in the collection itself, such as an upload; others are left alone."""
        if item.uri.startswith(INSIDE) and self.picture_path(item).is_relative_to(self.path.resolve() / UPLOADS):
            remove_file(self.path, item.uri.removeprefix(INSIDE))

    # Models ----------------------------------------------------------------------------------------

    def publish(
        self,
        model: Model,
        *,
        same_space: bool,
        vector_dim: int | None = None,
        evidence: Mapping[str, Any] | None = None,
        after: ModelVersion | None = None,
    ) -> ModelVersion:
        """Make ``model`` the one of queries and new rows; no row is written again, and old codes stay as they are.

        The last of a few commits does it; whoever is killed before leaves a collection that knows nothing of it.

        Args:
            model: copied into the collection.
            same_space: its codes can be compared with the current model's, and lie in the same column.
            vector_dim: D of its vectors, where the collection keeps any.
            evidence: what was measured, as JSON values.
            after: the model version it was measured against.

        Raises:
            UsageError: it is the current model, its codes have another length though ``same_space``, or the collection
                has another model by now than ``after``.
        """
        with self._writing():
            current, print_ = self.current, model.fingerprint()
            if after is not None and current != after:
                raise UsageError(
                    f"{self.path} was brought to model version {current.number}, {current.called}, meanwhile; measure "
                    "against that one: run the command again"
                )
            if print_ == current.fingerprint:
                raise UsageError(f"{self.path} has {current.called} already; there is nothing to upgrade")
            layout = layout_of(model)
            if same_space and layout != self.code_columns[current.column].layout:
                raise UsageError(f"codes of {layout.describe()} cannot lie beside those of {self.num_bits} bits")
            save_model(self.path, model)
            self._number_rows()
            spec = describe_codes(layout, model)
            before = next((each for each in reversed(self.model_versions) if each.fingerprint == print_), None)
            if before is not None:  # a model that comes back finds the codes that it made
                column, vectors = before.column, before.vectors
            else:
                column = current.column if same_space else self._new_column("code", print_, spec.field)
                vectors = current.vectors
            if self.has_vectors and before is None:
                kind = pa.list_(pa.float16(), vector_dim or 1)
                vectors = self._new_column("vector", print_, lambda name: pa.field(name, kind))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            number = current.number + 1
            made = ModelVersion(number, column, print_, spec.model, vectors, now, dict(evidence or {}))
            replace(self.card, format_version=FORMAT_VERSION).save(self.path)
            self._rows.note(as_metadata([*self.model_versions, made]))
        return made

    def recode(
        self,
        ids: ArrayLike,
        codes: BinaryCodes,
        *,
        content_hashes: Sequence[str],
        vectors: ArrayLike | None = None,
        version: ModelVersion,
    ) -> int:
        """Give rows codes of the current model instead of an older one's, in one commit. Returns how many took them.

        A row that was removed, whose picture changed, or that has such a code already is passed over.

        Args:
            ids: int64 [n].
            codes: of these rows, by ``version``.
            content_hashes: of the files that were encoded.
            vectors: [n, D], where the collection keeps any.
            version: the current model. Its number alone would not do: a collection that was restored and upgraded to
                another model meanwhile has that number too.

        Raises:
            UsageError: the collection has another model by now.
        """
        with self._writing():
            mine = self.current
            if mine != version:
                raise UsageError(
                    f"{self.path} has model version {mine.number}, {mine.called}, by now, not {version.number}, "
                    f"{version.called}; run it again"
                )
            wanted = np.asarray(ids, np.int64)
            there = np.flatnonzero(np.isin(wanted, self.ids()))
            held = self._rows.take(wanted[there], [HASH, MODEL_VERSION])
            same = [hash_ == content_hashes[row] for hash_, row in zip(held.column(0).to_pylist(), there.tolist())]
            fresh = there[np.array(same, bool) & (held.column(1).to_numpy() < mine.number)]
            if len(fresh):
                self._rows.merge(self._recoded(wanted[fresh], codes[fresh], vectors, fresh, mine))
        return len(fresh)

    def _recoded(
        self, ids: Ids, codes: BinaryCodes, vectors: ArrayLike | None, rows: Ids, mine: ModelVersion
    ) -> pa.Table:
        """Return the columns that follow from a row's model: those of the current one full, the others empty."""
        schema = self._rows.schema
        arrays = {ID: pa.array(ids), MODEL_VERSION: pa.array([mine.number] * len(ids), pa.int64())}
        dependent = [*(each.column for each in self.spaces), *(each.vectors for each in self.model_versions)]
        dependent += [name for name in schema.names if columns.is_derived(name)]
        for name in (name for name in dict.fromkeys(dependent) if name in schema.names):
            arrays[name] = pa.nulls(len(ids), schema.field(name).type)
        arrays[mine.column] = columns.code_array(codes)
        if vectors is not None and self.vector_dim is not None:
            arrays[mine.vectors] = columns.vector_array(np.asarray(vectors)[rows], self.vector_dim, len(ids))
        return pa.table(list(arrays.values()), pa.schema([schema.field(name) for name in arrays]))

    def _number_rows(self) -> None:
        """Write into every row that the first model made its code, where that was never written."""
        if columns.is_upgraded(self._rows.schema):
            return
        if MODEL_VERSION in self._rows.schema.names:  # of an upgrade that was interrupted; rows may have come since
            held = self._rows.read([MODEL_VERSION]).column(0)
            if held.type != pa.int64() or pc.any(pc.not_equal(held, 1)).as_py():
                raise UsageError(
                    f"{self.path} has an attribute {MODEL_VERSION!r} of its own, which an upgrade needs; export the "
                    "collection and index it anew without that attribute"
                )
            self._rows.drop_column(MODEL_VERSION)
        self._rows.fill_column(MODEL_VERSION, 1)

    def _new_column(self, prefix: str, print_: str, field: Any) -> str:
        """Add an empty column for a model, or take that which an interrupted upgrade to it left. Returns its name."""
        name = f"{prefix}_{print_}"[:60].replace("-", "_")
        taken = {each.column for each in self.model_versions} | {each.vectors for each in self.model_versions}
        while name in taken:  # the same model, published for a second time
            name += "_"
        if name not in self._rows.schema.names:
            self._rows.add_columns([field(name)])
        return name

    # Inside ----------------------------------------------------------------------------------------

    def _known_among(self, uris: Sequence[str]) -> dict[str, int]:
        """Do what :meth:`find` does, under the lock; what surely is new is not looked for in the rows.

        The writer of many commits remembers hashes of the uris as long as nobody else writes; ``find`` has the last
        word on whatever they do not rule out.
        """
        stamp = self._rows.stamp
        if not len(self):
            self._known = KnownUris()
        elif self._known_stamp != stamp:
            self._known = None
            return self.find(uris)
        elif self._known is None:
            self._known = KnownUris()
            for batch in self._rows.batches([URI]):
                self._known.add(hashes_of(batch.column(0).to_pylist()))
        self._asked = hashes_of(uris)
        possible = [uris[place] for place in self._known.possible(self._asked)]
        return self.find(possible) if possible else {}

    def _came_to_know(self) -> None:
        """Remember the uris that were looked for last, since they are in a commit now; under the lock."""
        if self._known is not None:
            self._known.add(self._asked)
        self._known_stamp = self._rows.stamp

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the write lock and stand on the latest version."""
        if self._pinned:
            raise UsageError(f"version {self.version} is open for reading; open the latest one to write, or restore it")
        with write_lock(self.path / _LOCK), leased(self.path) as lease:
            sweep_leftovers(self.path)
            self.refresh()
            if lease is not None:
                pull(self.path)
                self._rows.before_commit = partial(self._keep, lease)
            self._rows.finish_recasting()
            yield
            if lease is not None:
                lease.require(committed=True)
                push(self.path)

    def _keep(self, lease: Lease) -> None:
        """Send what a change of the rows stands on, as long as nobody else may write."""
        lease.require()
        push(self.path)


def save_model(folder: Path, model: Model | None) -> None:
    """Copy the model into the collection, complete or not at all."""
    if model is None:
        return
    target = folder / MODELS / model.fingerprint()
    if target.is_dir():
        return
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(exist_ok=True)
    model.save(scratch)
    put_in_place(scratch, target)
