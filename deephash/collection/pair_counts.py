"""Known pairs: how many relevant and irrelevant ones lie at each distance, as a model or a collection keeps them.

``deephash train`` counts the queries of its validation part against the training items, and writes ``relevance.json``
into the model folder; ``deephash collection calibrate`` counts a collection's own labelled rows. A search reads from it
how probable it is that a hit is right (:mod:`deephash.evaluation.calibration`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import CollectionDamaged
from deephash.evaluation.calibration import likelihood_ratio, misfit, posterior
from deephash.evaluation.counts import DistanceCounts
from deephash.foreign import SMALL, Unfit, read_if_there, refused_as

if TYPE_CHECKING:
    from deephash.collection.model_versions import ModelVersion
    from deephash.collection.reader import CollectionReader

FILE_NAME = "relevance.json"
VERSION = 1
_LARGEST = 16 * SMALL  # bytes: nested codes of both directions have a million numbers and more
USUAL = 0.99  # share of the known queries that are like the known queries
JUDGED = 2_000  # queries, at most, by which the usual misfit is measured
LEAST_PAIRS = 50  # relevant ones, and irrelevant ones, below which a table says nothing


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs of one direction, such as pictures that search pictures.

    Attributes:
        query: modality that asks.
        database: modality that is searched.
        relevant: int64 [D + 1], pairs at each distance of which the item is a right answer.
        irrelevant: int64 [D + 1], the others.
        queries: how many asked.
        nearest: distance in bits within which 99 % of them find their nearest item.
        misfit: what 99 % of them stay below, see :func:`~deephash.evaluation.calibration.misfit`.
        source: where they come from, in words.
    """

    query: str
    database: str
    relevant: NDArray[np.int64]
    irrelevant: NDArray[np.int64]
    queries: int
    nearest: int
    misfit: float
    source: str = ""

    @classmethod
    def of(
        cls, parts: Sequence[DistanceCounts], *, query: str = "image", database: str = "image", source: str = ""
    ) -> PairCounts | None:
        """Sum the counts of many queries; None where so few pairs are known that they say nothing."""
        relevant = np.concatenate([part.relevant for part in parts])
        items = np.concatenate([part.items for part in parts])
        asked = items.sum(axis=1) > 0
        items, right, wrong = items[asked], relevant.sum(axis=0), (items - relevant).sum(axis=0)
        if min(right.sum(), wrong.sum()) < LEAST_PAIRS:
            return None
        nearest = (items > 0).argmax(axis=1)
        found = cls(query, database, right, wrong, len(items), int(np.quantile(nearest, USUAL)), 1.0, source)
        misfits = [found.misfit_of(each) for each in items[:JUDGED]]
        return cls(query, database, right, wrong, len(items), found.nearest, float(np.quantile(misfits, USUAL)), source)

    def posterior(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how probably a hit at each distance is relevant, for a query with ``counts`` [D + 1] items there."""
        return posterior(likelihood_ratio(self.relevant, self.irrelevant), counts)

    def misfit_of(self, counts: NDArray[np.int64], chances: NDArray[np.float64] | None = None) -> float:
        """Return how badly these pairs explain a query's distances, 0..1."""
        chances = self.posterior(counts) if chances is None else chances
        relevant, irrelevant = (each / each.sum() for each in (self.relevant, self.irrelevant))
        return misfit(relevant, irrelevant, counts, chances)

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {"relevant": self.relevant.tolist(), "irrelevant": self.irrelevant.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PairCounts:
        """Take what :meth:`to_record` gave and ``relevance.json`` of the schema holds. Raises Unfit."""
        relevant, irrelevant = (np.asarray(record[name], np.int64) for name in ("relevant", "irrelevant"))
        if len(relevant) != len(irrelevant) or not (relevant.sum() and irrelevant.sum()):
            raise Unfit(f"{FILE_NAME} holds pairs at {len(relevant)} and {len(irrelevant)} distances, or none at all")
        return cls(**{**record, "relevant": relevant, "irrelevant": irrelevant})


def save_pair_counts(folder: Path, tables: Sequence[PairCounts], **more: Any) -> None:
    """Write ``relevance.json`` into a model folder or a collection, in one step; ``more`` says what it belongs to."""
    from deephash.collection.card import replace_file

    record = {"format_version": VERSION, **more, "tables": [table.to_record() for table in tables]}
    replace_file(folder / FILE_NAME, json.dumps(record) + "\n")


def load_pair_counts(folder: Path, **belongs: Any) -> tuple[PairCounts, ...]:
    """Read ``relevance.json``; nothing where there is none, it is of a later version, or belongs to something else.

    Raises:
        CollectionDamaged: it cannot be read.
    """
    with refused_as(CollectionDamaged, "remove that file: then searches tell by chance alone what is near"):
        record = read_if_there(folder / FILE_NAME, "relevance", version=VERSION, limit=_LARGEST)
        if record is None or any(record.get(name) != value for name, value in belongs.items()):
            return ()
        return tuple(map(PairCounts.from_record, record["tables"]))


def known_pairs_of(collection: CollectionReader, version: ModelVersion, max_distance: int) -> tuple[PairCounts, ...]:
    """Return the tables that fit codes of ``version``: the collection's own where one fits, else its model's.

    Raises:
        CollectionDamaged: one of the files cannot be read, or the model's folder is missing.
    """
    folder = collection.path_of_model(version.fingerprint)
    own = load_pair_counts(collection.path, column=version.column, fingerprint=version.fingerprint)
    for tables in (own, () if folder is None else load_pair_counts(folder)):
        fitting = tuple(table for table in tables if len(table.relevant) == max_distance + 1)
        if fitting:
            return fitting
    return ()


def stamp_of(folder: Path) -> tuple[int, int] | None:
    """Return what changes whenever ``relevance.json`` of ``folder`` is written again; None where there is none."""
    try:
        found = os.stat(folder / FILE_NAME)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
