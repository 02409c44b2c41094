"""Searcher: a model, a collection and an index, answering queries of every kind."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.encoding.opening import Source
from deephash.errors import UsageError
from deephash.search.answer import Answer
from deephash.search.chance import Chance
from deephash.search.encoder import Encoded, QueryEncoder
from deephash.search.finding import find, find_hits
from deephash.search.hits import Hit
from deephash.search.query import Options, Part, Query, Where, picture_and_words
from deephash.search.snapshot import Snapshot


@dataclass
class Searcher:
    """Answers queries over one collection.

    Open one with :meth:`open`, and :meth:`ask`. The ``by_*`` methods say in one line what is asked most, and return the
    hits alone: in the order (distance, id), by the stored vectors where ``rerank`` asks for it, or by distance plus hub
    bias where hubs are corrected; at most ``k``, fewer where fewer items pass ``where`` or lie within ``max_distance``.
    Searching needs no torch; encoding a picture or a phrase does. Safe to use from several threads.

    Attributes:
        path: the collection's folder.
        encoder: turns queries into codes.
        kind: which index answers, see ``open_index``.
        name: how answers call the collection; the folder's name by default.
    """

    path: Path
    encoder: QueryEncoder
    kind: str = "auto"
    name: str = ""
    _snapshot: Snapshot | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _still: bool = field(default=False, repr=False)

    @classmethod
    def open(cls, path: str | Path, *, model: Source | None = None, index: str = "auto") -> Self:
        """Open the collection at ``path``.

        Args:
            path: a collection made by ``deephash index``.
            model: the model to encode queries with, a folder or in memory (see
                :func:`~deephash.encoding.open_encoder`); the collection's own by default.
            index: which index answers (``auto``, ``faiss:flat``, ``scan``, ...).

        Raises:
            IncompatibleModel: the model's codes cannot be compared with the collection's.
            CollectionDamaged: the collection cannot be read.
        """
        collection = Collection.open(path)
        source = collection.model_path if model is None else model
        encoder = QueryEncoder(source, collection.fingerprint, str(path))
        return cls(Path(path), encoder, index, Path(path).stem, Snapshot.of(collection, index))

    @property
    def snapshot(self) -> Snapshot:
        """The newest version of the collection; loaded again whenever somebody changed it."""
        with self._lock:
            if self._still and self._snapshot is not None:
                return self._snapshot
            newest = Collection.open(self.path)
            if self._snapshot is None or newest.version != self._snapshot.collection.version:
                self._snapshot = Snapshot.of(newest, self.kind)
            return self._snapshot

    def still(self) -> Searcher:
        """Return a searcher that stays at the version of now, so that several answers in a row agree with each other.

        It shares the encoder and the loaded codes; making one reads nothing but the version.
        """
        return replace(self, _snapshot=self.snapshot, _lock=threading.Lock(), _still=True)

    @property
    def collection(self) -> Collection:
        """The collection at its newest version."""
        return self.snapshot.collection

    @property
    def num_bits(self) -> int:
        """K, the code length."""
        return self.snapshot.index.num_bits

    def __len__(self) -> int:
        return len(self.snapshot)

    # Queries ---------------------------------------------------------------------------------------

    def ask(self, query: Query, options: Options | None = None) -> Answer:
        """Answer a query of any kind: encoded once, narrowed once, counted once, all of one version.

        Raises:
            UsageError: an item that is not there, a filter that does not fit, a code of another length, re-ranking or
                hub correction where it cannot be had; the sentence says which.
        """
        options = options or Options()
        started = time.perf_counter()
        snapshot, encoded = self._encoded(query, options)
        begun = time.perf_counter()
        found = find(snapshot, query, encoded, options)
        return Answer(
            name=self.name,
            query=query,
            options=options,
            code=encoded.code,
            hits=found.hits,
            counts=found.counts,
            snapshot=snapshot,
            model=self.encoder.description,
            engine=found.engine,
            encode_ms=1000 * (begun - started),
            search_ms=1000 * (time.perf_counter() - begun),
        )

    def _encoded(self, query: Query, options: Options) -> tuple[Snapshot, Encoded]:
        snapshot = self.snapshot
        encoded = self.encode(query, snapshot, with_vector=options.rerank > 0)
        if options.bits is None:
            return snapshot, encoded
        return snapshot.prefix(options.bits), encoded.prefix(options.bits)

    def _hits(self, query: Query, options: Options) -> list[Hit]:
        """Return the hits of :meth:`ask`, for callers who look at nothing else of the answer."""
        snapshot, encoded = self._encoded(query, options)
        return find_hits(snapshot, query, encoded, options)

    def encode(self, query: Query, snapshot: Snapshot | None = None, *, with_vector: bool = False) -> Encoded:
        """Return the query's code, and its float vector where it is asked for.

        Raises:
            UsageError: an item that is not there, or a vector of a mixture or a bare code.
        """
        snapshot = self.snapshot if snapshot is None else snapshot
        only = query.only
        if only is not None and only.kind == "item":
            vector = snapshot.collection.vectors([only.value]) if with_vector else None
            return Encoded(snapshot.codes_of([only.value]), None if vector is None else vector.astype(np.float32))
        if only is None:
            parts = [_resolved(part, snapshot) for part in query.parts]
            query = replace(query, parts=tuple(parts))
        return self.encoder.encode_query(query, with_vector=with_vector)

    def can_rerank(self, query: Query) -> bool:
        """Say whether the query has a float vector to compare with those of the collection."""
        return self.collection.has_vectors and query.only is not None and query.only.kind != "code"

    def by_image(self, picture: Any, k: int = 10, **options: Any) -> list[Hit]:
        """Search by a picture: a path, the bytes of a file, a PIL picture or an array; ``options`` of :class:`Options`.

        ``correct_hubs`` takes out items that are near every picture, by the bank stored for picture queries.
        """
        return self._hits(Query.of(Part("image", picture)), Options(k, **options))

    def by_text(self, text: str, k: int = 10, **options: Any) -> list[Hit]:
        """Search by words; the model must read text; ``options`` of :class:`Options`.

        ``correct_hubs`` takes out items that are near every phrase, by the bank stored for words
        (``deephash collection hubs``).
        """
        return self._hits(Query.of(Part("text", text)), Options(k, **options))

    def by_both(self, picture: Any, text: str, k: int = 10, *, beta: float = 0.5, **options: Any) -> list[Hit]:
        """Search by a picture and words together; ``beta`` 0 looks at the picture only, 1 at the words only."""
        return self._hits(picture_and_words(Part("image", picture), text, beta), Options(k, **options))

    def by_id(self, item: int, k: int = 10, **options: Any) -> list[Hit]:
        """Search by an item of the collection itself; needs no model and no torch; ``options`` of :class:`Options`.

        The item itself comes first, before others that share its code, unless ``where`` leaves it out.
        """
        return self._hits(Query.of(Part("item", item)), Options(k, **options))

    def by_codes(self, code: BinaryCodes, k: int = 10, *, vector: ArrayLike | None = None, **options: Any) -> list[Hit]:
        """Search by one code of the collection's length; ``options`` of :class:`Options`.

        Args:
            code: one row.
            k: at most so many hits.
            vector: float [1, D] of the query, for re-ranking.
        """
        if len(code) != 1:
            raise UsageError(f"one code is searched at a time, not {len(code)}; call by_codes for each row")
        snapshot, asked = self.snapshot, Options(k, **options)
        encoded = Encoded(code, None if vector is None else np.asarray(vector, np.float32))
        return find_hits(snapshot, Query.of(Part("code", code)), encoded, asked)

    def code_of(self, item: int) -> BinaryCodes:
        """Return the stored code of an item."""
        return self.snapshot.codes_of([item])

    def codes_of(self, hits: Sequence[Hit]) -> BinaryCodes:
        """Return the stored codes of hits, in their order."""
        return self.snapshot.codes_of([hit.id for hit in hits])

    # Reading a distance ----------------------------------------------------------------------------

    def distance_counts(self, code: BinaryCodes, *, where: Where = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from ``code``, int64 [K + 1]."""
        return self.snapshot.narrowing.among(where).counts(code)

    def nearest_distance(self, code: BinaryCodes, *, where: Where = None) -> int | None:
        """Return the distance of the nearest item, or None where no item passes ``where``."""
        occupied = np.flatnonzero(self.distance_counts(code, where=where))
        return int(occupied[0]) if len(occupied) else None

    def chance(self) -> Chance | None:
        """Return how far apart unrelated items of this collection are; None for fewer than two items."""
        return self.snapshot.chance


def _resolved(part: Part, snapshot: Snapshot) -> Part:
    """Return an item as its code with those of its neighbours, other parts as they are."""
    return replace(part, kind="code", value=snapshot.item_and_neighbours(part.value)) if part.kind == "item" else part
