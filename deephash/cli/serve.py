"""``deephash serve``: collections in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deephash.cli.early import require_collections
from deephash.cli.engines import encoder_and_server
from deephash.errors import UsageError


def serve(
    *collections: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    read_only: bool = False,
    user: str | None = None,
    password: str | None = None,
    report: list[Path] | None = None,
    index: str = "auto",
    hostname: list[str] | None = None,
    engine: str = "auto",
    metrics: bool = False,
    log_format: Literal["none", "json"] = "none",
    open: bool = False,
) -> None:
    """Serve collections as a web page with a REST interface, until Ctrl-C.

    $ deephash serve pictures.dh
    $ deephash serve old.dh new.dh --report runs/a/report.json     # compare two models side by side
    $ deephash serve pictures.dh --host 0.0.0.0 --read-only --user me --password secret
    $ deephash serve pictures.dh --read-only --metrics --log-format json --hostname pictures.example   # behind a proxy

    Args:
        collections: made by ``deephash index``; the first is shown first.
        host: address to listen on; the default is reachable from this machine only.
        port: port to listen on; 0 takes a free one.
        read_only: nothing can be added or removed on the page.
        user: with --password, what a visitor must give.
        password: see --user.
        report: report.json of an evaluation, shown on the evaluation page.
        index: which index answers.
        hostname: name by which visitors call this server, beside its addresses and the name of this machine.
        engine: onnx encodes without torch, torch by the model's weights; auto takes what encoded each collection. The
            address of a server, ``milvus:http://HOST:PORT``, searches the codes there (``deephash collection push``).
        metrics: give figures to Prometheus at /metrics; whoever may see the page may read them.
        log_format: json writes a line for every request to standard output: time, method, path, status, ms; none of
            what was asked.
        open: open the page in the browser.
    """
    if (user is None) != (password is None):
        raise UsageError("--user and --password go together")
    encoder, server = encoder_and_server(engine)
    require_collections(collections)
    from deephash.webui import serve as run

    run(
        collections,
        host=host,
        port=port,
        read_only=read_only,
        user=user,
        password=password,
        reports=report or (),
        index=server or index,
        open_browser=open,
        names=hostname or (),
        engine=encoder,
        metrics=metrics,
        log_format=log_format,
    )
