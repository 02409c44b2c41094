"""The whole app: the Gradio page, the REST routes and the guard around both."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported: no message to anybody
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MPLBACKEND", "agg")  # else Gradio's first event, the first visitor's, loads all of pyplot

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI

from deephash.version import __version__

from .actions import MAX_UPLOAD_BYTES
from .allowed import own_routes
from .background import Background
from .description import describe
from .duplicateroute import add_duplicate_route
from .events import script
from .guard import Guard
from .health import add_health_routes
from .page import QUIET, REMEMBER, SearchPage
from .panels import Panels
from .routes import add_routes
from .turns import CONCURRENT, WAITING
from .uploadroute import add_upload_route
from .uploads import Uploads
from .workspace import Workspace

if TYPE_CHECKING:
    from .metrics import Metrics

HERE = Path(__file__).parent


def build_page(workspace: Workspace, background: Background) -> gr.Blocks:
    """Return the Gradio page of a workspace; long computations run in ``background``."""
    names = workspace.names
    page: gr.Blocks = gr.Blocks(title="deephash", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600))
    with page:
        with gr.Row(elem_id="dh-header"):
            gr.HTML('<h1><span class="dh-mark" aria-hidden="true"></span>deephash</h1>', elem_id="dh-title")
            name = gr.Dropdown(
                names, value=names[0], label="Collection", show_label=False, visible=len(names) > 1, elem_id="dh-name"
            )
        with gr.Tabs(elem_id="dh-pages") as tabs:
            with gr.Tab("Search", id="search"):
                search = SearchPage(workspace, name)
            Panels(workspace, search, tabs, background)
        gr.HTML((HERE / "large.html").read_text(encoding="utf8"), elem_id="dh-large", js_on_load=script("large"))
        page.load(search.on_load, [name, search.remembered], search.visited, js=REMEMBER, **QUIET)
    page.queue(default_concurrency_limit=CONCURRENT, max_size=WAITING)
    return page


def _mount(page: gr.Blocks, app: FastAPI) -> None:
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        show_error=False,
        max_file_size=MAX_UPLOAD_BYTES,
        theme=_theme(),
        css="".join((HERE / f"{name}.css").read_text(encoding="utf8") for name in ("style", "large", "search", "tabs")),
        allowed_paths=[],
        favicon_path=str(HERE / "favicon.png"),
    )
    page.has_launched = True  # Gradio's own check of paths, off in a mounted app, as a second lock behind the guard


def build_app(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    user: str | None = None,
    password: str | None = None,
    names: Collection[str] = (),
    metrics: bool = False,
) -> Guard:
    """Return the ASGI app of a workspace, ready for any server.

    Args:
        workspace: what is served.
        host: the address it will listen on, see :class:`Guard`.
        user: with ``password``, credentials every visitor must give.
        password: see ``user``.
        names: further names by which visitors call the server.
        metrics: count and time queries, and give the figures at ``/metrics``; needs prometheus-client.
    """
    uploads = Uploads.of_this_process()
    background = Background()
    page = build_page(workspace, background)
    app = FastAPI(title="deephash", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    add_routes(app, workspace)
    add_duplicate_route(app, workspace, background)
    add_upload_route(app, uploads)
    add_health_routes(app, workspace.readiness, _metrics(workspace) if metrics else None)
    describe(app, secured=user is not None)
    routes = own_routes(app)
    _mount(page, app)
    return Guard(
        app,
        host=host,
        max_bytes=2 * MAX_UPLOAD_BYTES,
        user=user,
        password=password,
        names=names,
        routes=routes,
        events={number: len(event.inputs) for number, event in page.fns.items()},
        uploads=uploads,
    )


def _metrics(workspace: Workspace) -> Metrics:
    from .metrics import Metrics

    return Metrics(workspace)


def _theme() -> gr.themes.Base:
    """Fonts of the visitor's own system: nothing is fetched from anywhere."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    return gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size="md", spacing_size="md", font=sans, font_mono=mono
    ).set(
        block_border_width="1px",
        block_shadow="none",
        body_background_fill="#fbfcfd",
        block_background_fill="white",
        body_text_color_subdued="*neutral_500",  # these four: a contrast of at least 4.5
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )
