"""The other tabs: compare, collection, evaluation; and what connects them with the search tab."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from deephash.errors import DeephashError

from .actions import sentence
from .attackpage import AttackPage
from .background import Background
from .browsepage import BrowsePage
from .changes import Change
from .collectionview import collection_html
from .compare import before_html, compare, comparison_html, in_common_html, variants
from .duplicatespage import DuplicatesPage
from .evaluationview import no_report_html, read_report, report_html
from .events import number, script, sent, uploaded_path
from .live import add_pictures, remove_items, undo
from .numbers import as_written
from .page import QUIET, Outputs, SearchPage
from .results import message_html
from .session import Session
from .tagging import tag_items
from .workspace import Workspace

logger = logging.getLogger(__name__)


class Panels:
    """Everything beside the search tab.

    Args:
        workspace: what is shown.
        search: the search tab, which clicks on pictures lead back to.
        tabs: all tabs; the search tab has the id ``search``.
        background: where long computations run.
    """

    def __init__(self, workspace: Workspace, search: SearchPage, tabs: gr.Tabs, background: Background) -> None:
        self.workspace, self.search, self.tabs = workspace, search, tabs
        BrowsePage(workspace, background, search, safely, self.lead_back)
        DuplicatesPage(workspace, background, search, safely, self.lead_back)
        self._compare()
        self._collection()
        self._evaluation()
        if not workspace.read_only:
            AttackPage(workspace, search, safely, self.lead_back)

    # Compare ---------------------------------------------------------------------------------------

    def _compare(self) -> None:
        self.variants = {str(variant): variant for variant in variants(self.workspace)}
        names = list(self.variants)
        with gr.Tab("Compare", id="compare") as tab:
            with gr.Row(elem_id="dh-versus"):
                self.left = gr.Dropdown(names, value=names[0], label="This", elem_id="dh-left")
                self.right = gr.Dropdown(
                    names, value=_other(self.workspace, names), label="against", elem_id="dh-right"
                )
                self.depth = gr.Slider(5, 50, 10, step=5, label="Answers of each", elem_id="dh-depth")
            self.sides = gr.HTML("", elem_id="dh-compare", js_on_load=script("results"))
        inputs = [self.search.session, self.left, self.right, self.depth]
        for event in (tab.select, self.left.input, self.right.input, self.depth.release):
            event(self.on_compare, inputs, self.sides, **QUIET)
        self.lead_back(self.sides)

    def on_compare(self, session: Session, left: str, right: str, depth: float) -> str:
        """Ask both sides the current query."""
        one, two = self.variants[left], self.variants[right]

        def action() -> str:
            if session.current is None:
                return before_html(self.workspace, one, two)
            with self.workspace.turns:
                found = compare(self.workspace, session.current, one, two, int(depth))
                return comparison_html(found, in_common_html(self.workspace, one, two))

        return safely(action)

    # Collection ------------------------------------------------------------------------------------

    def _collection(self) -> None:
        editable = not self.workspace.read_only
        with gr.Tab("Collection", id="collection") as tab:
            with gr.Row(visible=editable, elem_id="dh-live"):
                self.upload = gr.File(
                    file_count="multiple", label="Add pictures: drop them here", elem_id="dh-add", height=120
                )
                with gr.Column(scale=0, min_width=220):
                    self.said = gr.HTML("", elem_id="dh-said")
                    self.back = gr.Button("Undo", interactive=False, elem_id="dh-undo")
            self.facts = gr.HTML("", elem_id="dh-facts", js_on_load=script("results"))
            self.change = gr.State(None)  # inside the tab: beside it, Gradio would count it as a tab
        self.upload.preprocess = _uploaded_files  # type: ignore[method-assign,assignment]
        name, search = self.search.name, self.search
        tab.select(self.on_facts, [name], self.facts, **QUIET)
        name.input(self.on_facts, [name], self.facts, **QUIET)
        told = [self.change, self.said, self.back, self.facts]
        if editable:
            self.upload.upload(
                self.on_add, [self.upload, name], [self.upload, *told], show_progress="full", api_visibility="private"
            ).then(search.on_again, search.common, search.outputs, **QUIET)
            self.back.click(self.on_undo, [self.change, name], told, **QUIET).then(
                search.on_again, search.common, search.outputs, **QUIET
            )
            search.results.discard(
                self.on_remove,
                search.common,
                [*search.outputs, self.change, self.said, self.back, search.toast],
                **QUIET,
            )
            search.selection.tag(
                self.on_tag,
                search.common,
                [*search.outputs, *search.options.counted, self.change, self.said, self.back, search.toast],
                **QUIET,
            )
            search.toast.undo(self.on_take_back, [self.change, name], [*told, search.toast], **QUIET).then(
                search.on_again, search.common, search.outputs, **QUIET
            )
        self.lead_back(self.facts)

    def on_facts(self, name: str) -> str:
        """Measure the collection."""
        return safely(lambda: collection_html(self.workspace.place(name)))

    def on_add(self, files: list[tuple[str, str]] | None, name: str, progress: gr.Progress = gr.Progress()) -> Outputs:  # noqa: B008
        """Encode and append uploads, with progress."""
        change: Change | None = None

        def action() -> str:
            nonlocal change
            contents = [(label, Path(path).read_bytes()) for label, path in files or []]
            with self.workspace.turns:
                change = add_pictures(
                    self.workspace,
                    name,
                    contents,
                    progress=lambda done, total: progress((done, total), unit="pictures"),
                )
            return _said(str(change))

        said = safely(action)
        return None, change, said, gr.update(interactive=change is not None), self.on_facts(name)

    def on_remove(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Remove one result and search again."""
        change: Change | None = None

        def action() -> str:
            nonlocal change
            change = remove_items(self.workspace, name, [number(event, "id")])
            return _said(str(change))

        said = safely(action)
        shown = self.search.on_again(name, session, *options)
        if change is None:
            shown = (*shown[:3], said, *shown[4:])
        return *shown, change, said, gr.update(interactive=change is not None), _toast(str(change)) if change else ""

    def on_tag(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Tag the results that were selected, and show the tag where cards and filters show it."""
        change: Change | None = None

        def action() -> str:
            nonlocal change
            ids = sent(event, "ids")
            wanted = [as_written(item, "id") for item in ids] if isinstance(ids, list) else []
            home = str(sent(event, "collection") or name)
            change = tag_items(self.workspace, home, wanted, str(sent(event, "tag") or ""))
            return _said(str(change))

        said = safely(action)
        shown = self.search.on_again(name, session, *options)
        told = _toast(str(change)) if change else f'<div class="dh-toast">{said}</div>'
        counted = self.search.options.recount(name, options)
        return *shown, *counted, change, said, gr.update(interactive=change is not None), told

    def on_undo(self, change: Change | None, name: str) -> Outputs:
        """Take the last change back."""
        said = safely(lambda: _said(undo(self.workspace, change) if change else "Nothing to undo."))
        return None, said, gr.update(interactive=False), self.on_facts(name)

    def on_take_back(self, change: Change | None, name: str) -> Outputs:
        """Take the last change back from the search tab; the message goes, or says why not."""
        done = self.on_undo(change, name)
        return *done, f'<div class="dh-toast">{done[1]}</div>'

    # Evaluation ------------------------------------------------------------------------------------

    def _evaluation(self) -> None:
        names = [str(number) for number in range(len(self.workspace.reports))]
        labels = [(_short(path), number) for path, number in zip(self.workspace.reports, names)]
        with gr.Tab("Evaluation", id="evaluation") as tab:
            with gr.Row():
                self.which = gr.Dropdown(
                    labels, value=names[0] if names else None, label="Report", visible=bool(names), elem_id="dh-which"
                )
                self.given = gr.File(label="report.json", elem_id="dh-report-file", height=120)
            self.report = gr.HTML("", elem_id="dh-report", js_on_load=script("results"))
        self.given.preprocess = _uploaded_file  # type: ignore[method-assign]
        tab.select(self.on_report, [self.which], self.report, **QUIET)
        self.which.input(self.on_report, [self.which], self.report, **QUIET)
        self.given.upload(self.on_given, [self.given], self.report, **QUIET)
        search = self.search
        self.report.requery(self.on_hard_query, search.common, [self.tabs, *search.outputs], **QUIET)

    def on_report(self, number: str | None) -> str:
        """Show one of the reports that the server was started with."""
        if number is None:
            return no_report_html()
        return self.on_given(str(self.workspace.reports[int(number)]))

    def on_given(self, path: str | None) -> str:
        """Show a report that was uploaded."""
        if path is None:
            return no_report_html()
        return safely(lambda: report_html(read_report(Path(path)), find=self.workspace.find))

    def on_hard_query(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Ask the collection on show with a query of the report, whichever collection keeps its picture."""
        return gr.update(selected="search"), *self.search.on_requery(event, name, session, *options)

    # Back to the search tab ------------------------------------------------------------------------

    def lead_back(self, source: gr.HTML) -> None:
        """Let clicks on the pictures of ``source`` search with them, on the search tab."""
        search = self.search
        outputs = [self.tabs, search.name, *search.outputs, *search.offers]
        source.requery(self.on_picture, search.common, outputs, **QUIET)

    def on_picture(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search with a picture that was clicked on another tab, in the collection it belongs to."""
        home = str(sent(event, "collection") or name)
        if home == name:
            offers: Sequence[Any] = [gr.skip()] * len(self.search.offers)
        else:
            offers, options = self.search.offer(home, options[-1]), tuple(self.search.options_elsewhere(options))
        return gr.update(selected="search"), home, *self.search.on_requery(event, home, session, *options), *offers


def safely(action: Callable[[], str]) -> str:
    """Return what an action says, or its error as a panel, never a traceback."""
    try:
        return action()
    except DeephashError as error:
        return message_html("That did not work", sentence(error), kind="error")
    except Exception:
        logger.exception("an action of the page failed")
        return message_html("Something went wrong inside", "The server's log says what.", kind="error")


def _said(text: str) -> str:
    from html import escape

    return f'<p class="dh-status" role="status">{escape(text)}</p>'


def _toast(text: str) -> str:
    return f'<div class="dh-toast">{_said(text)}<button class="dh-take-back">Undo</button></div>'


def _uploaded_files(payload: Any) -> list[tuple[str, str]]:
    files = [] if payload is None else payload.root if hasattr(payload, "root") else [payload]
    return [(file.orig_name or "picture", file.path) for file in files]


def _uploaded_file(payload: Any) -> str | None:
    return uploaded_path(payload)


def _other(workspace: Workspace, names: list[str]) -> str:
    return workspace.names[1] if len(workspace.names) > 1 else names[min(1, len(names) - 1)]


def _short(path: Path) -> str:
    return "/".join(path.resolve().parts[-3:])
