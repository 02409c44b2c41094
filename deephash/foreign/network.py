"""No network while a stranger's model is loaded, unless the user said ``--allow-download``.

Libraries that build networks fetch configurations and tokenisers where a description asks for it. Python's audit hooks
see every socket of the process, whichever library opens it; the Hugging Face client is also told that it is offline, so
that it takes what it has and does not try for a minute.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

ALLOW = "DEEPHASH_ALLOW_DOWNLOAD"  # what --allow-download sets
_EVENTS = frozenset(
    f"socket.{event}"
    for event in ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "sendto", "sendmsg")
)
_closed = threading.local()
_installed = threading.Lock()


def downloads_allowed() -> bool:
    """Say whether the user let loading a model fetch what its description asks for."""
    return os.environ.get(ALLOW) == "1"


@contextmanager
def without_network() -> Iterator[None]:
    """Let no connection be made by this thread meanwhile; each try is an OSError."""
    if _installed.acquire(blocking=False):  # once a process; a hook cannot be taken off
        sys.addaudithook(_refuse)
    before = getattr(_closed, "now", False)
    _closed.now = True
    try:
        with _offline():
            yield
    finally:
        _closed.now = before


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and getattr(_closed, "now", False):
        raise OSError("loading a model folder fetches nothing; --allow-download lets it")


def _offline() -> Any:
    constants = sys.modules.get("huggingface_hub.constants")
    return mock.patch.object(constants, "HF_HUB_OFFLINE", True) if constants is not None else nullcontext()
