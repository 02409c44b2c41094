"""The tab of duplicates: groups side by side, how near is near, and the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from .background import Background
from .doors import progress_html, unseen_html
from .duplicatesview import duplicates_html
from .events import number, script
from .keptduplicates import duplicates_job
from .numbers import MOST_BITS, as_written
from .page import QUIET, SearchPage
from .workspace import Workspace

WORKING = "Looking for near-duplicates"


class DuplicatesPage:
    """The tab of duplicates.

    Args:
        workspace: what is shown.
        background: where the copies are looked for.
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
        with gr.Tab("Duplicates", id="duplicates") as tab:
            self.radius = gr.Slider(
                0,
                64,
                0,
                step=1,
                label="Copies differ in at most so many bits",
                visible=False,
                elem_id="dh-copies-radius",
            )
            self.groups = gr.HTML("", elem_id="dh-duplicates", js_on_load=script("pages", "results"))
            self.measured = gr.State(None)  # which job the slider was set for
        inputs = [search.name, self.radius, self.measured]
        outputs = [self.groups, self.radius, self.measured]
        for event in (tab.select, self.groups.poll):
            event(self.on_show, inputs, outputs, **QUIET)
        search.name.input(unseen_html, None, self.groups, **QUIET)  # nothing is computed for a tab that nobody sees
        self.radius.input(self.on_radius, [search.name, self.radius], self.groups, trigger_mode="always_last", **QUIET)
        self.groups.turn(self.on_turn, [search.name, self.radius], self.groups, **QUIET)
        lead_back(self.groups)

    def on_show(self, name: str, radius: float, measured: str | None) -> tuple[Any, ...]:
        """Show the groups, or how far the search for them is; a new result sets the slider to all it found."""
        slider, now = gr.skip(), measured

        def action() -> str:
            nonlocal slider, now
            job = duplicates_job(self.background, self.workspace, self.workspace.place(name))
            if not job.ended:
                slider = gr.update(visible=False)
                return progress_html(job, WORKING)
            found, within = job.outcome(), as_written(radius, "the radius", 0, MOST_BITS)
            now = f"{name}/{found.collection.version}"
            if now != measured:
                within = found.reach
                slider = gr.update(maximum=max(1, within), value=within, visible=within > 0)
            return duplicates_html(name, found, within, 0)

        return self.safely(action), slider, now

    def on_radius(self, name: str, radius: float) -> str:
        """Group again within another radius."""
        return self._page(name, radius, lambda: 0)

    def on_turn(self, event: gr.EventData, name: str, radius: float) -> str:
        """Turn to another page."""
        return self._page(name, radius, lambda: number(event, "page"))

    def _page(self, name: str, radius: float, page: Callable[[], int]) -> str:
        def action() -> str:
            job = duplicates_job(self.background, self.workspace, self.workspace.place(name))
            if not job.ended:
                return progress_html(job, WORKING)
            within = as_written(radius, "the radius", 0, MOST_BITS)
            return duplicates_html(name, job.outcome(), within, page())

        return self.safely(action)
