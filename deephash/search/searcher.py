"""Searcher: a model, a collection and an index, answering queries of every kind."""

from __future__ import annotations

import logging
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
from deephash.collection.sources.again import source_of
from deephash.encoding.opening import Source
from deephash.encoding.port import Engine
from deephash.encoding.product import can_rerank, gather_of
from deephash.errors import DataError, DeephashError, EngineUnavailable, UnreadablePicture, UsageError
from deephash.numbers import real
from deephash.search.answer import Answer
from deephash.search.chance import Chance
from deephash.search.encoder import Encoded, QueryEncoder, QueryEncoders
from deephash.search.finding import find, find_hits, require_known
from deephash.search.hits import Hit
from deephash.search.merging import engines_of, merged, options_of
from deephash.search.query import AUTO, Options, Part, Query, Where, picture_and_words
from deephash.search.showing import Hits
from deephash.search.snapshot import Shard, Snapshot

logger = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds before a server that lacks a new version is asked for it again


@dataclass(frozen=True)
class _Asked:
    """What a shard is asked."""

    shard: Shard
    query: Query
    encoded: Encoded
    options: Options


@dataclass
class Searcher:
    """Answers queries over one collection.

    Open one with :meth:`open`, and :meth:`ask`. The ``by_*`` methods say in one line what is asked most, and return the
    hits alone: in the order (distance, id), by the stored vectors where ``rerank`` asks for it, or by distance plus hub
    bias where hubs are corrected; at most ``k``, fewer where fewer items pass ``where`` or lie within ``max_distance``.
    Searching needs no torch; encoding a picture or a phrase does. Safe to use from several threads.

    Attributes:
        path: the collection's folder.
        encoders: turn queries into codes, one for each model of the collection.
        kind: which index answers, see ``open_index``.
        name: how answers call the collection; the folder's name by default.
    """

    path: Path
    encoders: QueryEncoders
    kind: str = "auto"
    name: str = ""
    _snapshot: Snapshot | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _still: bool = field(default=False, repr=False)
    _wait_until: float = field(default=0.0, repr=False)

    @classmethod
    def open(
        cls, path: str | Path, *, model: Source | None = None, index: str = "auto", engine: Engine = "auto"
    ) -> Self:
        """Open the collection at ``path``.

        Args:
            path: a collection made by ``deephash index``, a folder or ``s3://BUCKET/NAME.dh``.
            model: the model to encode queries with, a folder or in memory (see
                :func:`~deephash.encoding.open_encoder`); the collection's own by default.
            index: which index answers (``auto``, ``faiss:flat``, ``scan``, ...).
            engine: what encodes queries (``onnx``, ``torch``); by default what encoded the collection.

        Raises:
            IncompatibleModel: the model's codes cannot be compared with the collection's.
            CollectionDamaged: the collection cannot be read.
        """
        collection = Collection.open(path)
        encoders = QueryEncoders(str(path), engine)
        encoders.put(collection.current, collection, model)
        return cls(collection.path, encoders, index, collection.path.stem, Snapshot.of(collection, index))

    @property
    def snapshot(self) -> Snapshot:
        """The newest version of the collection; loaded again whenever somebody changed it."""
        with self._lock:
            if self._still and self._snapshot is not None:
                return self._snapshot
            if self._snapshot is not None and _is_latest(self._snapshot.collection):
                return self._snapshot
            if self._snapshot is not None and time.monotonic() < self._wait_until:
                return self._snapshot
            newest = Collection.open(self.path)  # which says what is wrong, where something is
            if self._snapshot is None or newest.version != self._snapshot.collection.version:
                self._snapshot = self._newer(newest)
            return self._snapshot

    def _newer(self, newest: Collection) -> Snapshot:
        """Open a newer version; while a server lacks it, the one that is open goes on answering."""
        try:
            return Snapshot.of(newest, self.kind)
        except EngineUnavailable as lacking:
            if self._snapshot is None:
                raise
            self._wait_until = time.monotonic() + PATIENCE
            logger.warning("%s; version %d goes on answering", lacking, self._snapshot.collection.version)
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
    def encoder(self) -> QueryEncoder:
        """Turns queries into codes of the collection's current model."""
        return self._encoder_of(self.snapshot.current)

    def _encoder_of(self, shard: Shard) -> QueryEncoder:
        return self.encoders.of(shard.model, shard.collection)

    @property
    def num_bits(self) -> int:
        """K, the code length of the current model."""
        return self.snapshot.current.index.num_bits

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
        if options.min_certainty is not None:
            real(options.min_certainty, "min_certainty, how sure the query's code must be,", least=0, most=1)
        started = time.perf_counter()
        snapshot = self._cut(self.snapshot, options)
        asked, notes = self._asked(snapshot, query, options)
        begun = time.perf_counter()
        found = [(one.shard, find(one.shard, one.query, one.encoded, one.options)) for one in asked]
        first, lone = found[0][1], len(found) == 1
        answer = Answer(
            name=self.name,
            query=query,
            options=options,
            code=asked[0].encoded.code,
            hits=first.hits if lone else merged(found, options.k, query.item),
            counts=first.counts,
            snapshot=snapshot,
            shard=asked[0].shard,
            model=self._encoder_of(asked[0].shard).description,
            engine=first.engine if lone else engines_of(found),
            encode_ms=1000 * (begun - started),
            search_ms=1000 * (time.perf_counter() - begun),
            notes=tuple(notes),
            itself=next((one.itself for _, one in found if one.itself is not None), None),
            spaces=tuple((one.shard, one.encoded.code, each.counts) for one, (_, each) in zip(asked, found)),
            probabilities=asked[0].encoded.probabilities,
            usual=asked[0].encoded.usual,
        )
        if answer.refusal:
            return replace(answer, hits=[])
        answer = replace(answer, notes=(*filter(None, [answer.doubt]), *answer.notes))
        return answer.as_far_as_the_line() if options.max_distance == AUTO else answer

    def _cut(self, snapshot: Snapshot, options: Options) -> Snapshot:
        return snapshot if options.bits is None else snapshot.prefix(options.bits)

    def _asked(self, snapshot: Snapshot, query: Query, options: Options) -> tuple[list[_Asked], list[str]]:
        """Encode a query for every shard; one that cannot be asked is left out, with a note that says why."""
        shards = [shard for shard in snapshot if len(shard)] or [snapshot.current]
        if len(shards) > 1 and (options.rerank or options.rerank_expected or options.correct_hubs):
            raise UsageError(
                f"{self.path} holds codes and vectors of {len(shards)} models that cannot be compared, so answers are "
                "ordered by codes alone; leave out re-ranking and hubs",
                remedy=f"Or bring all items to one model: deephash upgrade {self.path} --re-encode now",
            )
        asked: list[_Asked] = []
        notes: list[str] = []
        for shard in shards:
            own = options_of(shard, snapshot.current, options)
            try:
                encoded = self.encode(query, shard, with_vector=options.rerank > 0)
            except (UsageError, DataError) as error:
                if len(shards) == 1 or not _is_of_the_model(error, query):
                    raise
                notes.append(f"{len(shard):,} items of {shard.model.called} were left out: {error.message}")
                continue
            notes += [note for note in self._encoder_of(shard).notes(query) if note not in notes]
            notes += filter(None, [shard.unread_pairs])
            if own is not None:
                encoded = encoded if options.bits is None else encoded.prefix(shard.index.num_bits)
                asked.append(_Asked(shard, query, encoded, own))
        if asked and options.min_certainty is not None:
            require_known(asked[0].encoded)
        if not asked:
            raise UsageError("no model of the collection can be asked this; " + "; ".join(notes))
        return asked, notes

    def _hits(self, query: Query, options: Options) -> Hits:
        """Return the hits of :meth:`ask`, for callers who look at nothing else of the answer."""
        snapshot = self._cut(self.snapshot, options)
        if len(snapshot.shards) > 1 or options.max_distance == AUTO or options.min_certainty is not None:
            return Hits(self.ask(query, options).hits, self.collection)
        (one,), _ = self._asked(snapshot, query, options)
        return Hits(find_hits(one.shard, query, one.encoded, options), one.shard.collection)

    def encode(self, query: Query, shard: Shard | None = None, *, with_vector: bool = False) -> Encoded:
        """Return the query's code, and its float vector where it is asked for.

        Args:
            query: pictures, words, items and codes.
            shard: whose model encodes it; that of the current model by default. An item that has no code of this model
                is encoded from its picture.
            with_vector: also return the vector.

        Raises:
            UsageError: an item that is not there, a vector of a mixture or a bare code, or a code of another model.
        """
        shard = self.snapshot.current if shard is None else shard
        only = query.only
        if only is not None and only.kind == "item" and self._holds(shard, only.value):
            vector = gather_of(shard.collection)[0](np.array([only.value])) if with_vector else None
            return Encoded(shard.codes_of([only.value]), None if vector is None else vector.astype(np.float32))
        if shard.model.number != shard.collection.current.number and any(part.kind == "code" for part in query.parts):
            raise UsageError("a code can be compared with codes of its own model alone")
        parts = tuple(self._resolved(part, shard) for part in query.parts)
        if parts != query.parts:
            query = replace(query, parts=parts, key=f"{query.key}@{shard.model.number}")
        return self._encoder_of(shard).encode_query(query, with_vector=with_vector)

    def _holds(self, shard: Shard, item: int) -> bool:
        return item in shard or item not in shard.collection.ids()  # which codes_of then says

    def _resolved(self, part: Part, shard: Shard) -> Part:
        """Return an item as its code with those of its neighbours, or else as its picture; other parts as they are."""
        if part.kind != "item":
            return part
        if self._holds(shard, part.value):
            return replace(part, kind="code", value=shard.item_and_neighbours(part.value))
        picture = source_of(shard.collection, shard.collection.items([part.value])[0])
        return replace(part, kind="image", value=picture)

    def can_rerank(self, query: Query) -> bool:
        """Say whether the query has a float vector to compare with those of the collection."""
        return can_rerank(self.collection) and query.only is not None and query.only.kind != "code"

    def by_image(self, picture: Any, k: int = 10, **options: Any) -> Hits:
        """Search by a picture: a path, the bytes of a file, a PIL picture or an array; ``options`` of :class:`Options`.

        ``correct_hubs`` takes out items that are near every picture, by the bank stored for picture queries.
        """
        return self._hits(Query.of(Part("image", picture)), Options(k, **options))

    def by_text(self, text: str, k: int = 10, **options: Any) -> Hits:
        """Search by words; the model must read text; ``options`` of :class:`Options`.

        ``correct_hubs`` takes out items that are near every phrase, by the bank stored for words
        (``deephash collection hubs``).
        """
        return self._hits(Query.of(Part("text", text)), Options(k, **options))

    def by_both(self, picture: Any, text: str, k: int = 10, *, beta: float = 0.5, **options: Any) -> Hits:
        """Search by a picture and words together; ``beta`` 0 looks at the picture only, 1 at the words only."""
        return self._hits(picture_and_words(Part("image", picture), text, beta), Options(k, **options))

    def by_id(self, item: int, k: int = 10, **options: Any) -> Hits:
        """Search by an item of the collection itself; needs no model and no torch; ``options`` of :class:`Options`.

        The item itself comes first, before others that share its code, unless ``where`` leaves it out.
        """
        return self._hits(Query.of(Part("item", item)), Options(k, **options))

    def by_codes(self, code: BinaryCodes, k: int = 10, *, vector: ArrayLike | None = None, **options: Any) -> Hits:
        """Search by one code of the collection's current model; ``options`` of :class:`Options`.

        Items whose codes are of another model, which cannot be compared, are left out.

        Args:
            code: one row.
            k: at most so many hits.
            vector: float [1, D] of the query, for re-ranking.
        """
        if len(code) != 1:
            raise UsageError(f"one code is searched at a time, not {len(code)}; call by_codes for each row")
        shard, asked = self.snapshot.current, Options(k, **options)
        if asked.max_distance == AUTO:
            raise UsageError("max_distance='auto' needs all counts: ask(Query.of(Part('code', code)), Options(...))")
        encoded = Encoded(code, None if vector is None else np.asarray(vector, np.float32))
        return Hits(find_hits(shard, Query.of(Part("code", code)), encoded, asked), shard.collection)

    def code_of(self, item: int) -> BinaryCodes:
        """Return the stored code of an item."""
        return self.snapshot.codes_of([item])

    def codes_of(self, hits: Sequence[Hit]) -> BinaryCodes:
        """Return the stored codes of hits, in their order."""
        return self.snapshot.codes_of([hit.id for hit in hits])

    # Reading a distance ----------------------------------------------------------------------------

    def distance_counts(self, code: BinaryCodes, *, where: Where = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from ``code``, int64 [K + 1]."""
        return self.snapshot.current.narrowing.among(where).counts(code)

    def nearest_distance(self, code: BinaryCodes, *, where: Where = None) -> int | None:
        """Return the distance of the nearest item, or None where no item passes ``where``."""
        occupied = np.flatnonzero(self.distance_counts(code, where=where))
        return int(occupied[0]) if len(occupied) else None

    def chance(self) -> Chance | None:
        """Return how far apart unrelated items of this collection are; None for fewer than two items."""
        return self.snapshot.chance


def _is_latest(collection: Collection) -> bool:
    try:
        return collection.is_latest()
    except DeephashError:
        return False


def _is_of_the_model(error: DeephashError, query: Query) -> bool:
    """Say whether another model may know better: it may read words, or hold the code of an item without a picture."""
    return not isinstance(error, UnreadablePicture) or any(part.kind == "item" for part in query.parts)
