"""Running the app: a socket of our own, uvicorn, and a sentence that says where the page is."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from deephash.encoding.port import Engine
from deephash.errors import UsageError
from deephash.foreign.extras import install

from .callers import LOOPBACK
from .requestlog import RequestLog

PATIENCE = 10.0  # seconds
LogFormat: TypeAlias = Literal["none", "json"]


def run(
    paths: Sequence[str | Path],
    *,
    host: str,
    port: int,
    read_only: bool,
    user: str | None,
    password: str | None,
    reports: Sequence[str | Path],
    index: str,
    open_browser: bool,
    names: Collection[str] = (),
    engine: Engine = "auto",
    metrics: bool = False,
    log_format: LogFormat = "none",
) -> None:
    """Serve until interrupted; see :func:`deephash.webui.serve`."""
    if (user is None) != (password is None) or user == "" or password == "" or ":" in (user or ""):
        raise UsageError("--user and --password go together; neither may be empty, and a user has no colon")
    if metrics and find_spec("prometheus_client") is None:
        raise UsageError(f"--metrics needs prometheus-client, which is not installed: {install('serve')}")
    if log_format not in ("none", "json"):
        raise UsageError(f"--log-format is none or json, not {log_format!r}")
    listening = listen(host, port)
    from .app import build_app
    from .workspace import Workspace

    workspace = Workspace(paths, read_only=read_only, index=index, reports=reports, engine=engine)
    warming = threading.Thread(target=workspace.warm_up, daemon=True)
    warming.start()
    app = build_app(workspace, host=host, user=user, password=password, names=names, metrics=metrics)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
    if host not in LOOPBACK and user is None:
        print(f"warning: {host} is reachable from other machines and no --user/--password is set", file=sys.stderr)
    print(f"deephash serves {', '.join(workspace.names)} at {address} (Ctrl-C stops)", file=sys.stderr, flush=True)
    if open_browser:
        webbrowser.open(address)
    try:
        _run(RequestLog(app) if log_format == "json" else app, listening)
    finally:
        warming.join(PATIENCE)  # Python ends under a thread that computes in C++ with an abort


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket. Raises UsageError where the address is taken or not ours."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; try --port 0 for a free one") from None
    # asyncio does so only for sockets whose protocol number is set; without it each answer waits 40 ms for an ACK
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _run(app: object, listening: socket.socket) -> None:
    import uvicorn

    if threading.current_thread() is threading.main_thread():  # only there can it be set
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that uploads are cleared away
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=256,
    )
    uvicorn.Server(config).run(sockets=[listening])
