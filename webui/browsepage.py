"""The tab that shows a collection without a query."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gradio as gr

from deephash.errors import UsageError

from .background import Background, Job
from .browseview import shelf_html, shelves_html
from .catalogue import Catalogue, Shelf
from .doors import progress_html, unseen_html
from .events import number, script
from .keptmaps import kept_clusters
from .mapview import make_map, map_html
from .page import QUIET, SearchPage
from .workspace import Place, Workspace

WAYS = {"Folders": "folder", "Dates": "date", "Classes": "class", "Clusters": "cluster", "Map": "map"}
WORKING = {"cluster": "Putting like with like", "map": "Drawing the map of the codes"}
Where = tuple[int, int]  # the shelf, -1 for all of them; the page


class BrowsePage:
    """The tab of shelves and the map.

    Args:
        workspace: what is shown.
        background: where clusters and maps are computed.
        search: the search tab.
        safely: runs an action and says its error.
        lead_back: lets clicks on pictures lead to the search tab.
    """

    def __init__(
        self,
        workspace: Workspace,
        background: Background,
        search: SearchPage,
        safely: Callable[[Callable[[], str]], str],
        lead_back: Callable[[gr.HTML], None],
    ) -> None:
        self.workspace, self.background, self.safely = workspace, background, safely
        self._catalogues: dict[str, tuple[int, Catalogue]] = {}
        self._lock = threading.Lock()
        with gr.Tab("Browse", id="browse") as tab:
            self.way = gr.Radio(list(WAYS), value="Folders", label="Shown by", elem_id="dh-way")
            self.shown = gr.HTML("", elem_id="dh-browse", js_on_load=script("browse", "map", "pages", "results"))
            self.where = gr.State((-1, 0))
        inputs, outputs = [search.name, self.way, self.where], [self.shown, self.where, self.way]
        tab.select(self.on_select, inputs, outputs, **QUIET)
        self.shown.poll(self.on_poll, inputs, outputs, **QUIET)
        search.name.input(lambda: (unseen_html(), (-1, 0)), None, [self.shown, self.where], **QUIET).then(
            self.on_choices, [search.name, self.way], self.way, **QUIET
        )
        self.way.input(self.on_way, inputs, outputs, **QUIET)
        for event, action in (
            (self.shown.open, self.on_open),
            (self.shown.up, self.on_way),
            (self.shown.turn, self.on_turn),
        ):
            event(action, inputs, outputs, **QUIET)
        lead_back(self.shown)

    def on_select(self, name: str, way: str, where: Where) -> tuple[Any, ...]:
        """Show where one was; folders where a collection has no such shelves."""
        return self._at(name, way, lambda: where, select=True)

    def on_poll(self, name: str, way: str, where: Where) -> tuple[Any, ...]:
        """Show how far a computation is, or its result."""
        return self._at(name, way, lambda: where)

    def on_choices(self, name: str, way: str) -> dict[str, Any]:
        """Offer the shelves that a collection has."""
        possible = self._possible(self.catalogue(self.workspace.place(name)))
        return gr.update(choices=possible, value=way if way in possible else possible[0])

    def on_way(self, name: str, way: str, where: Where) -> tuple[Any, ...]:
        """Show all shelves, of another kind or after one of them."""
        return self._at(name, way, lambda: (-1, 0))

    def on_open(self, event: gr.EventData, name: str, way: str, where: Where) -> tuple[Any, ...]:
        """Show what stands on a shelf."""
        return self._at(name, way, lambda: (number(event, "shelf"), 0))

    def on_turn(self, event: gr.EventData, name: str, way: str, where: Where) -> tuple[Any, ...]:
        """Turn to another page."""
        return self._at(name, way, lambda: (where[0], number(event, "page")))

    def _at(self, name: str, asked: str, choose: Callable[[], Where], select: bool = False) -> tuple[Any, ...]:
        where, ways = (-1, 0), gr.skip()

        def action() -> str:
            nonlocal where, ways
            where = choose()
            place = self.workspace.place(name)
            catalogue = self.catalogue(place)
            possible = self._possible(catalogue)
            way = asked if asked in possible else possible[0]
            if select or way != asked:  # else the mark would flicker at every answer
                ways = gr.update(choices=possible, value=way)
            return self._html(place, catalogue, WAYS[way], where)

        return self.safely(action), where, ways

    def _html(self, place: Place, catalogue: Catalogue, way: str, where: Where) -> str:
        if way not in WORKING:
            note = f"By {catalogue.dated}." if way == "date" else ""
            return _shelved(place.name, catalogue, catalogue.shelves(way), way, where, note)
        job = self._job(place, catalogue, way)
        if not job.ended:
            return progress_html(job, WORKING[way])
        found = job.outcome()
        if way == "map":
            return map_html(place.name, found, catalogue)
        note = "Pictures whose codes are near each other, by k-modes; the first of each is its middle."
        return _shelved(place.name, catalogue, found, way, where, note)

    def _job(self, place: Place, catalogue: Catalogue, way: str) -> Job:
        shard = place.searcher.snapshot.current
        key, writes = (way, place.name, catalogue.collection.version), not self.workspace.read_only
        if way == "map":
            return self.background.job(key, lambda: make_map(shard, catalogue, writes=writes))

        def shelves() -> list[Shelf]:
            ids = shard.index.ids
            return catalogue.clusters(ids, kept_clusters(shard.collection, shard.index.codes_of(ids), writes=writes))

        return self.background.job(key, shelves)

    @staticmethod
    def _possible(catalogue: Catalogue) -> list[str]:
        return [label for label, kind in WAYS.items() if kind in (*catalogue.ways, "map")]

    def catalogue(self, place: Place) -> Catalogue:
        """Return what is known of the newest version of a collection; read once."""
        collection = place.searcher.snapshot.collection
        with self._lock:
            version, known = self._catalogues.get(place.name, (-1, None))
            if known is None or version != collection.version:
                known = Catalogue.of(collection)
                self._catalogues[place.name] = collection.version, known
            return known


def _shelved(name: str, catalogue: Catalogue, shelves: list[Shelf], way: str, where: Where, note: str) -> str:
    shelf, page = where
    if shelf < 0:
        return shelves_html(name, shelves, way, page, note)
    if shelf >= len(shelves):
        raise UsageError("that shelf is no longer there; the collection has changed. Choose again above")
    return shelf_html(name, catalogue, shelves[shelf], page)
