"""What the page works on: the opened collections, their queries, their speed. No Gradio in here."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection.filters import Filter
from deephash.errors import UsageError, did_you_mean
from deephash.index import CodeIndex, open_index
from deephash.search import Chance, Hit, Mixture, Searcher, Term, group_near_duplicates, remarks
from deephash.search.searcher import Snapshot

from .queries import Part, Query
from .sketch import Paper, guess_paper
from .thumbnails import Thumbnails, open_item
from .turns import Turns

MAX_ANSWERS = 200
RERANKED = 200  # so many of the nearest codes are put in order by stored vectors
REMEMBERED_QUERIES = 512
REMEMBERED_TIMES = 500


@dataclass(frozen=True)
class Options:
    """How a query is answered.

    Attributes:
        k: at most so many answers.
        max_distance: cut-off in bits; None shows the nearest however far they are.
        where: filter, as an object or in words; None or empty for none.
        group: put near-duplicates under the best of their group.
        rerank: put the nearest codes in order by the stored vectors, where there are any.
    """

    k: int = 24
    max_distance: int | None = None
    where: Filter | str | None = None
    group: bool = False
    rerank: bool = False


@dataclass(frozen=True)
class Answer:
    """One answered query, with everything the page shows about it."""

    name: str
    query: Query
    options: Options
    code: BinaryCodes
    hits: list[Hit]
    codes: BinaryCodes | None
    remarks: list[str]
    leaders: list[int]
    counts: NDArray[np.int64]
    chance: Chance | None
    encode_ms: float
    search_ms: float
    total: int
    model: str
    reranked: bool = False

    @property
    def nearest(self) -> int | None:
        """Distance of the nearest item that passes the filter, or None where none passes."""
        occupied = np.flatnonzero(self.counts)
        return int(occupied[0]) if len(occupied) else None

    @property
    def num_bits(self) -> int:
        """K."""
        return self.code.num_bits


@dataclass
class Place:
    """One collection that is being served.

    Attributes:
        name: how the page calls it.
        searcher: answers its queries.
        search_times: milliseconds of the last searches.
        changing: held while pictures are added or removed.
    """

    name: str
    searcher: Searcher
    search_times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_TIMES))
    changing: threading.Lock = field(default_factory=threading.Lock)
    _paper: tuple[int, Paper | None] = (-1, None)
    _prefixes: dict[int, tuple[int, CodeIndex]] = field(default_factory=dict)

    def paper(self) -> Paper:
        """Return what drawings must look like here, judged by a few of the pictures."""
        snapshot = self.searcher.snapshot
        version, paper = self._paper
        if paper is None or version != snapshot.collection.version:
            paper = _paper_of(snapshot.collection, snapshot.ids)
            self._paper = snapshot.collection.version, paper
        return paper

    def prefix_index(self, snapshot: Snapshot, bits: int) -> CodeIndex:
        """Return an index over the first ``bits`` of the codes of ``snapshot``, kept until the collection changes."""
        version, index = self._prefixes.get(bits, (-1, None))
        if index is None or version != snapshot.collection.version:
            index = open_index("auto", snapshot.ids, snapshot.codes.prefix(bits))
            self._prefixes[bits] = snapshot.collection.version, index
        return index


class Workspace:
    """All collections of one server, by name.

    Args:
        paths: collections; the first is the default.
        read_only: nothing may be added or removed.
        index: which index answers, see ``open_index``.
        reports: ``report.json`` files for the evaluation page.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        read_only: bool = False,
        index: str = "auto",
        reports: Sequence[str | Path] = (),
    ) -> None:
        if not paths:
            raise UsageError("no collection to serve; give at least one: deephash serve pictures.dh")
        self.places: dict[str, Place] = {}
        for path in paths:
            name = _free_name(Path(path).resolve().stem, self.places)
            self.places[name] = Place(name, Searcher.open(path, index=index))
        self.read_only = read_only
        self.reports = [Path(report) for report in reports]
        self.thumbnails = Thumbnails()
        self.turns = Turns()
        self._encoded: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the collections, the default first."""
        return list(self.places)

    def place(self, name: str | None = None) -> Place:
        """Return the collection called ``name``, or the default. Raises UsageError for an unknown name."""
        if not name:
            return next(iter(self.places.values()))
        if name not in self.places:
            raise UsageError(f"no collection called {name!r} is served here" + did_you_mean(name, self.names))
        return self.places[name]

    def warm_up(self) -> None:
        """Load the models and answer once, so that the first visitor does not wait for it."""
        for place in self.places.values():
            place.searcher.chance()
            place.paper()
            if len(place.searcher):
                first = int(place.searcher.snapshot.ids[0])
                place.searcher.by_id(first, 4)
            if "image" in place.searcher.encoder.modalities:
                place.searcher.encoder.encode("image", Image.new("RGB", (32, 32)))

    def encode(self, name: str, query: Query) -> BinaryCodes:
        """Return the query's code for one collection. Its parts are encoded once; other sliders only mix them anew."""
        place = self.place(name)
        if query.item is not None and query.item[0] == place.name:
            return place.searcher.code_of(query.item[1])

        def make() -> BinaryCodes | Mixture:
            encoder, terms = place.searcher.encoder, self._terms(place, query)
            return encoder.compose(terms) if len(terms) == 1 else encoder.mixture(terms)

        found = self._remembered((place.name, query.key, "code"), make)
        return found.code(query.sliders) if isinstance(found, Mixture) else found

    def vector(self, name: str, query: Query) -> NDArray[np.floating] | None:
        """Return the query's float vector [1, D], to re-rank by; None for a mixture, or where no vectors are stored."""
        place = self.place(name)
        searcher = place.searcher
        if len(query.parts) > 1 or not searcher.collection.has_vectors:
            return None
        if query.item is not None and query.item[0] == place.name:
            return searcher.collection.vectors([query.item[1]])
        (term,) = self._terms(place, query)
        if term.kind == "code":
            return None

        def make() -> NDArray[np.floating]:
            return searcher.encoder.vector(term.kind, term.value)

        found: NDArray[np.floating] = self._remembered((place.name, query.key, "vector"), make)
        return found

    def answer(self, name: str, query: Query, options: Options) -> Answer:
        """Encode, search, and gather what the page shows. Raises DeephashError."""
        place = self.place(name)
        started = time.perf_counter()
        code = self.encode(place.name, query)
        vector = self.vector(place.name, query) if options.rerank else None
        encoded = time.perf_counter()
        searcher = place.searcher.still()  # the hits, their codes and the histogram are those of one version
        k = min(max(int(options.k), 1), MAX_ANSWERS)
        hits = searcher.by_codes(
            code,
            k,
            where=options.where,
            max_distance=options.max_distance,
            vector=vector,
            rerank=max(k, RERANKED) if vector is not None else 0,
            first=query.item[1] if query.item is not None and query.item[0] == place.name else None,
        )
        searched = time.perf_counter()
        place.search_times.append(1000 * (searched - encoded))
        codes = searcher.codes_of(hits) if hits else None
        return Answer(
            name=place.name,
            query=query,
            options=options,
            code=code,
            hits=hits,
            codes=codes,
            remarks=remarks(hits, codes) if codes is not None else [],
            leaders=group_near_duplicates(codes, code.num_bits // 32) if options.group and codes is not None else [],
            counts=searcher.distance_counts(code, where=options.where),
            chance=searcher.chance(),
            encode_ms=1000 * (encoded - started),
            search_ms=1000 * (searched - encoded),
            total=len(searcher),
            model=searcher.encoder.description,
            reranked=vector is not None,
        )

    def find(self, uri: str) -> tuple[str, int] | None:
        """Return (collection, id) of the first served item called ``uri``, or None."""
        for place in self.places.values():
            found = place.searcher.collection.find([uri])
            if found:
                return place.name, found[uri]
        return None

    def item_query(self, name: str, item: int) -> Query:
        """Make a query of an item. Raises UsageError where there is no such item."""
        place = self.place(name)
        uri = place.searcher.collection.items([item])[0].uri
        thumbnail = f"api/items/{item}/thumbnail?collection={quote(place.name)}&side=96"
        return Query("item", (Part("item", (place.name, item), 1.0, uri, thumbnail),))

    def _terms(self, place: Place, query: Query) -> list[Term]:
        """Return a query as the searcher takes it; wanted words beside a picture are one phrase that changes it."""
        terms = []
        for number, part in enumerate(query.parts):
            if part.kind == "text" and part.weight > 0:
                continue
            terms.append(self._term(place, part, as_picture=number == 0 and query.worded))
        if query.wanted:
            terms.append(Term("text", query.wanted, 1.0))
        return terms

    def _term(self, place: Place, part: Part, as_picture: bool) -> Term:
        """Return a part as a term; an item goes by its picture where words change it, or where it is elsewhere."""
        if part.kind != "item":
            return Term(part.kind, part.value, part.weight)
        name, item = part.value
        if name == place.name and not as_picture:
            return place.searcher.item_term(item, part.weight)
        home = self.place(name).searcher.collection
        return Term("image", open_item(home, home.items([item])[0]), part.weight)

    def _remembered(self, key: tuple[str, str, str], make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._encoded:
                self._encoded.move_to_end(key)
                return self._encoded[key]
        made = make()
        with self._lock:
            self._encoded[key] = made
            while len(self._encoded) > REMEMBERED_QUERIES:
                self._encoded.popitem(last=False)
        return made


def _free_name(stem: str, taken: dict[str, Any]) -> str:
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _paper_of(collection: Any, ids: NDArray[np.int64]) -> Paper:
    samples = []
    for item in collection.items(ids[:: max(1, len(ids) // 16)][:16]):
        try:
            samples.append(open_item(collection, item, reduced_to=64))
        except Exception:  # a lost picture says nothing about the paper
            continue
    return guess_paper(samples)
