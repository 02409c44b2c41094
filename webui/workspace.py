"""What the page works on: the opened collections, their queries, their speed. No Gradio in here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection.hubs import kinds_with_bank
from deephash.encoding.port import Engine
from deephash.errors import UsageError, did_you_mean
from deephash.search import Answer, Options, Part, Query, Searcher

from .filters import Offers, offered
from .readiness import Readiness
from .sketch import Paper, guess_paper
from .thumbnails import Thumbnails, open_item
from .turns import Turns
from .watching import Watcher

MAX_ANSWERS = 200  # of a program's question
MOST_SHOWN = 1000  # on the page, a few at a time
RERANKED = 200  # so many of the nearest codes are put in order by stored vectors
REMEMBERED_TIMES = 500


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
    _offers: tuple[int, Offers] = (-1, Offers())

    def paper(self) -> Paper:
        """Return what drawings must look like here, judged by a few of the pictures."""
        snapshot = self.searcher.snapshot
        version, paper = self._paper
        if paper is None or version != snapshot.collection.version:
            paper = _paper_of(snapshot.collection, snapshot.ids)
            self._paper = snapshot.collection.version, paper
        return paper

    def offers(self) -> Offers:
        """Return what can be filtered by; counted once a version."""
        collection = self.searcher.collection
        version, offers = self._offers
        if version != collection.version:
            offers = offered(collection)
            self._offers = collection.version, offers
        return offers


class Workspace:
    """All collections of one server, by name.

    Args:
        paths: collections; the first is the default.
        read_only: nothing may be added or removed.
        index: which index answers, see ``open_index``.
        reports: ``report.json`` files for the evaluation page.
        engine: what encodes queries, see ``open_encoder``; by default what encoded each collection.

    Attributes:
        readiness: how far :meth:`warm_up` has come.
        watcher: told of every answer.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        read_only: bool = False,
        index: str = "auto",
        reports: Sequence[str | Path] = (),
        engine: Engine = "auto",
    ) -> None:
        if not paths:
            raise UsageError("no collection to serve; give at least one: deephash serve pictures.dh")
        self.places: dict[str, Place] = {}
        for path in paths:
            name = _free_name(Path(path).resolve().stem, self.places)
            searcher = Searcher.open(path, index=index, engine=engine)
            searcher.name = name
            self.places[name] = Place(name, searcher)
        self.read_only = read_only
        self.reports = [Path(report) for report in reports]
        self.thumbnails = Thumbnails()
        self.turns = Turns()
        self.readiness = Readiness()
        self.watcher = Watcher()

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
            try:
                _warm_up(place)
            except Exception:
                self.readiness.failed(place.name)
                raise
            self.readiness.arrived()

    def encode(self, name: str, query: Query) -> BinaryCodes:
        """Return the query's code for one collection."""
        place, started = self.place(name), time.perf_counter()
        try:
            code = place.searcher.encode(self._local(place, query)).code
        except Exception as error:
            self.watcher.failed(place.name, error)
            raise
        self.watcher.encoded(place.name, query.kind, time.perf_counter() - started)
        return code

    def answer(self, name: str, query: Query, options: Options) -> Answer:
        """Ask one collection; ``rerank`` and hubs are left out where they cannot be had. Raises DeephashError."""
        place, started = self.place(name), time.perf_counter()
        try:
            answer = self._answer(place, query, options)
        except Exception as error:
            self.watcher.failed(place.name, error)
            raise
        self.watcher.answered(place.name, query.kind, time.perf_counter() - started, answer.encode_ms / 1000)
        return answer

    def _answer(self, place: Place, query: Query, options: Options) -> Answer:
        local = self._local(place, query)
        k = min(max(int(options.k), 1), MOST_SHOWN)
        rerank = max(k, RERANKED) if options.rerank and place.searcher.can_rerank(local) else 0
        hubs = options.correct_hubs and not rerank and _knows_hubs(place, local)
        answer = place.searcher.ask(local, replace(options, k=k, rerank=rerank, correct_hubs=hubs))
        place.search_times.append(answer.search_ms)
        return replace(answer, query=query)

    def find(self, uris: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return {uri: (collection, id)} of the first served item of each uri; those that nobody has are left out."""
        found: dict[str, tuple[str, int]] = {}
        for place in self.places.values():
            left = [uri for uri in uris if uri not in found]
            there = place.searcher.collection.find(left) if left else {}
            found |= {uri: (place.name, item) for uri, item in there.items()}
        return found

    def item_query(self, name: str, item: int) -> Query:
        """Make a query of an item. Raises UsageError where there is no such item."""
        place = self.place(name)
        uri = place.searcher.collection.items([item], with_hashes=False)[0].uri
        thumbnail = f"api/items/{item}/thumbnail?collection={quote(place.name)}&side=96"
        return Query("item", (Part("item", (place.name, item), 1.0, uri, thumbnail),))

    def _local(self, place: Place, query: Query) -> Query:
        """Return a query as the searcher of one collection takes it.

        An item goes by its number here; by its picture where words change it, or where it is elsewhere. Wanted words
        are one phrase.
        """
        parts = [
            self._local_part(place, part, as_picture=number == 0 and query.worded)
            for number, part in enumerate(query.parts)
            if not part.is_wanted_text
        ]
        if query.wanted:
            parts.append(Part("text", query.wanted, 1.0))
        return replace(query, parts=tuple(parts))

    def _local_part(self, place: Place, part: Part, as_picture: bool) -> Part:
        if part.kind != "item":
            return part
        name, item = part.value
        if name == place.name and not as_picture:
            return replace(part, value=item)
        home = self.place(name).searcher.collection
        return replace(part, kind="image", value=open_item(home, home.items([item])[0]))


def _warm_up(place: Place) -> None:
    place.searcher.chance()
    place.paper()
    if len(place.searcher):
        first = int(place.searcher.snapshot.ids[0])
        place.searcher.by_id(first, 4)
    if "image" in place.searcher.encoder.modalities:
        place.searcher.encoder.encode("image", Image.new("RGB", (32, 32)))


def _knows_hubs(place: Place, query: Query) -> bool:
    """Say whether the collection keeps a bank for this kind of query; it corrects one picture or phrase."""
    only = query.only
    return only is not None and only.kind in kinds_with_bank(place.searcher.collection)


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
