"""The web page: a Gradio app, its REST routes, and the server that runs both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from deephash.encoding.port import Engine


def serve(
    paths: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    read_only: bool = False,
    user: str | None = None,
    password: str | None = None,
    reports: Sequence[str | Path] = (),
    index: str = "auto",
    open_browser: bool = False,
    names: Sequence[str] = (),
    engine: Engine = "auto",
    metrics: bool = False,
    log_format: Literal["none", "json"] = "none",
) -> None:
    """Serve collections as a web page with a REST interface, until interrupted.

    Args:
        paths: collections (``X.dh`` folders); the first one is shown first.
        host: address to listen on; the default is reachable from this machine only.
        port: port to listen on; 0 takes a free one.
        read_only: nothing can be added or removed.
        user: with ``password``, what a visitor must give; both or neither.
        password: see ``user``.
        reports: ``report.json`` files for the evaluation page.
        index: which index answers, see ``open_index``.
        open_browser: open the page in the default browser.
        names: names by which visitors call the server, beside its addresses and the name of the machine; every other
            name is refused, because web sites can give themselves one that leads here.
        engine: what encodes queries, see ``open_encoder``; by default what encoded each collection.
        metrics: count and time queries, and give the figures to Prometheus at ``/metrics``.
        log_format: ``json`` writes a line for every request to standard output.

    Raises:
        UsageError: no path, a busy port, one of user and password without the other, or metrics without
            prometheus-client.
        CollectionError: a collection that cannot be used.
    """
    from .server import run

    run(
        paths,
        host=host,
        port=port,
        read_only=read_only,
        user=user,
        password=password,
        reports=reports,
        index=index,
        open_browser=open_browser,
        names=names,
        engine=engine,
        metrics=metrics,
        log_format=log_format,
    )
