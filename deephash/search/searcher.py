"""Searcher: a model, a collection and an index, answering queries of every kind with hits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.index import open_index
from deephash.index.rerank import search_two_stage
from deephash.numbers import whole
from deephash.search.chance import Chance, chance_level
from deephash.search.encoder import Kind, QueryEncoder, Term
from deephash.search.hits import Hit
from deephash.search.narrowing import Among, Narrowing, Where

if TYPE_CHECKING:
    from deephash.index import CodeIndex
    from deephash.index.querybank import HubCorrection
    from deephash.models.base import HashModel

NEIGHBOURS = 16  # that tell which bits of an item are firm


@dataclass(frozen=True)
class Snapshot:
    """One version of a collection, ready to be searched; replaced as a whole when the collection changes.

    Attributes:
        collection: opened at this version.
        ids: int64 [N], ascending.
        codes: N codes, row i belongs to ``ids[i]``.
        index: answers over these codes.
    """

    collection: Collection
    ids: NDArray[np.int64]
    codes: BinaryCodes
    index: CodeIndex
    _corrections: dict[str, HubCorrection] = field(default_factory=dict, repr=False)

    def correction(self, kind: str) -> HubCorrection:
        """Return the hub correction stored for queries of ``kind``; read once a version."""
        from deephash.collection.hubs import hub_correction

        if kind not in self._corrections:
            self._corrections[kind] = hub_correction(self.collection, kind)
        return self._corrections[kind]

    @cached_property
    def chance(self) -> Chance | None:
        """How far apart unrelated items are; measured once a version."""
        return chance_level(self.codes)

    @cached_property
    def narrowing(self) -> Narrowing:
        """Applies filters to this version."""
        return Narrowing(self.collection, self.ids, self.codes, self.index)

    def rows(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of ``ids``. Raises UsageError for an id that is not there."""
        wanted = np.asarray(ids, dtype=np.int64)
        rows = np.searchsorted(self.ids, wanted)
        known = rows < len(self.ids)
        known[known] = self.ids[rows[known]] == wanted[known]
        if not known.all():
            missing = ", ".join(str(item) for item in wanted[~known][:5])
            raise UsageError(f"{self.collection.path} has no item {missing}; it holds {len(self.ids):,} items")
        return rows


@dataclass
class Searcher:
    """Answers queries over one collection.

    Open one with :meth:`open`. Every ``by_*`` method returns hits in the order (distance, id), by the stored vectors
    where ``rerank`` asks for it, or by distance plus hub bias where hubs are corrected; at most ``k``, fewer where
    fewer items pass ``where`` or lie within ``max_distance``. Searching needs no torch; encoding a picture or a phrase
    does. Safe to use from several threads.

    Attributes:
        path: the collection's folder.
        encoder: turns queries into codes.
        kind: which index answers, see ``open_index``.
    """

    path: Path
    encoder: QueryEncoder
    kind: str = "auto"
    _snapshot: Snapshot | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _still: bool = field(default=False, repr=False)

    @classmethod
    def open(cls, path: str | Path, *, model: str | Path | HashModel | None = None, index: str = "auto") -> Self:
        """Open the collection at ``path``.

        Args:
            path: a collection made by ``deephash index``.
            model: the model to encode queries with, a folder or in memory; the collection's own by default.
            index: which index answers (``auto``, ``faiss:flat``, ``scan``, ...).

        Raises:
            IncompatibleModel: the model's codes cannot be compared with the collection's.
            CollectionDamaged: the collection cannot be read.
        """
        collection = Collection.open(path)
        source = collection.model_path if model is None else model
        encoder = QueryEncoder(source, collection.fingerprint, str(path))
        searcher = cls(Path(path), encoder, index)
        searcher._snapshot = searcher._load(collection)
        return searcher

    @property
    def snapshot(self) -> Snapshot:
        """The newest version of the collection; loaded again whenever somebody changed it."""
        with self._lock:
            if self._still and self._snapshot is not None:
                return self._snapshot
            newest = Collection.open(self.path)
            if self._snapshot is None or newest.version != self._snapshot.collection.version:
                self._snapshot = self._load(newest)
            return self._snapshot

    def still(self) -> Searcher:
        """Return a searcher that stays at the version of now, so that several answers in a row agree with each other.

        It shares the encoder and the loaded codes; making one reads nothing but the version.
        """
        return Searcher(self.path, self.encoder, self.kind, self.snapshot, _still=True)

    @property
    def collection(self) -> Collection:
        """The collection at its newest version."""
        return self.snapshot.collection

    @property
    def num_bits(self) -> int:
        """K, the code length."""
        return self.snapshot.codes.num_bits

    def __len__(self) -> int:
        return len(self.snapshot.ids)

    # Queries ---------------------------------------------------------------------------------------

    def by_image(
        self,
        picture: Any,
        k: int = 10,
        *,
        where: Where = None,
        max_distance: int | None = None,
        rerank: int = 0,
        correct_hubs: bool = False,
    ) -> list[Hit]:
        """Search by a picture: a path, the bytes of a file, a PIL picture or an array.

        ``correct_hubs`` takes out items that are near every picture, by the bank stored for picture queries.
        """
        code = self.encoder.encode("image", picture)
        vector = self.encoder.vector("image", picture) if rerank else None
        hubs: Kind | None = "image" if correct_hubs else None
        return self.by_codes(code, k, where=where, max_distance=max_distance, vector=vector, rerank=rerank, hubs=hubs)

    def by_text(
        self,
        text: str,
        k: int = 10,
        *,
        where: Where = None,
        max_distance: int | None = None,
        rerank: int = 0,
        correct_hubs: bool = False,
    ) -> list[Hit]:
        """Search by words; the model must read text.

        ``correct_hubs`` takes out items that are near every phrase, by the bank stored for words
        (``deephash collection hubs``).
        """
        code = self.encoder.encode("text", text)
        vector = self.encoder.vector("text", text) if rerank else None
        hubs: Kind | None = "text" if correct_hubs else None
        return self.by_codes(code, k, where=where, max_distance=max_distance, vector=vector, rerank=rerank, hubs=hubs)

    def by_both(
        self,
        picture: Any,
        text: str,
        k: int = 10,
        *,
        beta: float = 0.5,
        where: Where = None,
        max_distance: int | None = None,
    ) -> list[Hit]:
        """Search by a picture and words together; ``beta`` 0 looks at the picture only, 1 at the words only."""
        if not 0 <= beta <= 1:
            raise UsageError(f"beta is the share of the words and lies between 0 and 1, not {beta}")
        terms = [Term("image", picture, 1 - beta), Term("text", text, beta)]
        code = self.encoder.compose([term for term in terms if term.weight])
        return self.by_codes(code, k, where=where, max_distance=max_distance)

    def by_id(
        self, item: int, k: int = 10, *, where: Where = None, max_distance: int | None = None, rerank: int = 0
    ) -> list[Hit]:
        """Search by an item of the collection itself; needs no model and no torch.

        The item itself comes first, before others that share its code, unless ``where`` leaves it out.
        """
        vector = self.collection.vectors([item]) if rerank else None
        return self.by_codes(
            self.code_of(item), k, where=where, max_distance=max_distance, vector=vector, rerank=rerank, first=item
        )

    def by_codes(
        self,
        code: BinaryCodes,
        k: int = 10,
        *,
        where: Where = None,
        max_distance: int | None = None,
        vector: ArrayLike | None = None,
        rerank: int = 0,
        first: int | None = None,
        hubs: Kind | None = None,
    ) -> list[Hit]:
        """Search by one code of the collection's length.

        Args:
            code: one row.
            k: at most so many hits.
            where: only items that pass, as ``Filter``, mapping or words (``label=cat and year>=2019``).
            max_distance: only hits at most so many bits away.
            vector: float [1, D] of the query, for re-ranking.
            rerank: length of the shortlist that is put in order by stored vectors; 0 keeps the order of the codes.
            first: the item whose code this is; it goes before the others that share it.
            hubs: what the query is (``text`` or ``image``), to add the biases stored for such queries to the distances.

        Raises:
            UsageError: several codes, another length, a k below 1, a filter that does not fit, re-ranking where the
                collection keeps no vectors, or hubs where it has no biases.
        """
        self._check_code(code)
        k = whole(k, "k, the number of answers,", least=1)
        rerank = whole(rerank, "rerank, the length of the shortlist,")
        max_distance = None if max_distance is None else whole(max_distance, "max_distance, in bits,")
        snapshot = self.snapshot
        among = snapshot.narrowing.among(where)
        scores: NDArray[np.float32] | None = None
        corrected: NDArray[np.float64] | None = None
        if rerank and hubs:
            raise UsageError("hits are ordered by stored vectors or by corrected distances; leave out rerank or hubs")
        if hubs:
            correction = snapshot.correction(hubs)
            ids, corrected, distances = correction.search(among.index, code, k, allowed=among.allowed)[0]
        elif rerank:
            if vector is None:
                raise UsageError("re-ranking compares float vectors; give the query's with `vector`")
            shortlist = max(k, rerank)
            best = search_two_stage(
                among.index, code, vector, snapshot.collection.vectors, k, shortlist=shortlist, allowed=among.allowed
            )
            ids, distances, scores = best.ids[0], best.distances[0], best.scores[0]
        else:
            found = among.index.search(code, k, allowed=among.allowed)
            ids, distances = found.ids[0], found.distances[0]
            if first is not None and first in among:
                ids = _itself_first(ids, distances, first)
        if max_distance is not None:
            near = distances <= max_distance
            ids, distances = ids[near], distances[near]
            scores = None if scores is None else scores[near]
            corrected = None if corrected is None else corrected[near]
        return self._hits(snapshot, code, ids, distances, scores, corrected, among)

    def code_of(self, item: int) -> BinaryCodes:
        """Return the stored code of an item."""
        snapshot = self.snapshot
        return snapshot.codes[snapshot.rows([item])]

    def codes_of(self, hits: Sequence[Hit]) -> BinaryCodes:
        """Return the stored codes of hits, in their order."""
        snapshot = self.snapshot
        return snapshot.codes[snapshot.rows([hit.id for hit in hits])]

    def item_term(self, item: int, weight: float = 1.0) -> Term:
        """Return an item as a part of a composed query: its code, and those of its nearest neighbours."""
        snapshot = self.snapshot
        code = snapshot.codes[snapshot.rows([item])]
        if not code.layout.is_flat:
            return Term("code", code, weight)
        near = snapshot.index.search(code, NEIGHBOURS + 1).ids[0]
        return Term("code", BinaryCodes.concatenate([code, snapshot.codes[snapshot.rows(near[near != item])]]), weight)

    # Reading a distance ----------------------------------------------------------------------------

    def distance_counts(self, code: BinaryCodes, *, where: Where = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from ``code``, int64 [K + 1]."""
        self._check_code(code)
        snapshot = self.snapshot
        return snapshot.narrowing.among(where).counts(code)

    def nearest_distance(self, code: BinaryCodes, *, where: Where = None) -> int | None:
        """Return the distance of the nearest item, or None where no item passes ``where``."""
        occupied = np.flatnonzero(self.distance_counts(code, where=where))
        return int(occupied[0]) if len(occupied) else None

    def chance(self) -> Chance | None:
        """Return how far apart unrelated items of this collection are; None for fewer than two items."""
        return self.snapshot.chance

    # Inside ----------------------------------------------------------------------------------------

    def _load(self, collection: Collection) -> Snapshot:
        ids, codes = collection.codes()
        return Snapshot(collection, ids, codes, open_index(self.kind, ids, codes))

    def _check_code(self, code: BinaryCodes) -> None:
        expected = self.snapshot.codes
        if len(code) != 1:
            raise UsageError(f"one code is searched at a time, not {len(code)}; call by_codes for each row")
        if code.layout != expected.layout:
            raise UsageError(
                f"{self.path} holds codes of {expected.num_bits} bits; the query has {code.num_bits}. "
                "Encode it with the collection's own model"
            )

    @staticmethod
    def _hits(
        snapshot: Snapshot,
        code: BinaryCodes,
        ids: NDArray[np.int64],
        distances: NDArray[np.int32],
        scores: NDArray[np.float32] | None,
        corrected: NDArray[np.float64] | None,
        among: Among,
    ) -> list[Hit]:
        if not len(ids):
            return []
        ties = among.counts(code)
        longest = code.layout.max_distance
        return [
            Hit(
                rank=place + 1,
                id=item.id,
                uri=item.uri,
                distance=(far := int(distances[place])),
                similarity=1 - far / longest,
                num_bits=longest,
                tie_size=int(ties[far]),
                attributes=item.attributes,
                score=None if scores is None else float(scores[place]),
                corrected=None if corrected is None else float(corrected[place]),
            )
            for place, item in enumerate(snapshot.collection.items(ids))
        ]


def _itself_first(ids: NDArray[np.int64], distances: NDArray[np.int32], item: int) -> NDArray[np.int64]:
    """Move an item before those at its own distance 0; where it is not among the k, all of them share its code."""
    found = np.flatnonzero(ids == item)
    place = int(found[0]) if len(found) else len(ids) - 1
    if place < 0 or distances[place] > 0:
        return ids
    return np.concatenate([[item], ids[:place], ids[place + 1 :]])
