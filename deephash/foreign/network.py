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
from contextlib import contextmanager
from typing import Any

ALLOW = "DEEPHASH_ALLOW_DOWNLOAD"  # what --allow-download sets
_EVENTS = frozenset(
    f"socket.{event}"
    for event in ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "sendto", "sendmsg")
)
_closed = threading.local()
_lock = threading.Lock()
_hooked: list[bool] = []
_offline: list[bool] = []  # what the client thought before, once for each thread that is inside


def downloads_allowed() -> bool:
    """Say whether the user let loading a model fetch what its description asks for."""
    return os.environ.get(ALLOW) == "1"


@contextmanager
def without_network() -> Iterator[None]:
    """Let no connection be made by this thread meanwhile; each try is an OSError."""
    with _lock:
        if not _hooked:
            sys.addaudithook(_refuse)  # a hook cannot be taken off
            _hooked.append(True)
    before = getattr(_closed, "now", False)
    _closed.now = True
    _say_offline(True)
    try:
        yield
    finally:
        _say_offline(False)
        _closed.now = before


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and getattr(_closed, "now", False):
        raise OSError("loading a model folder fetches nothing; --allow-download lets it")


def _say_offline(entering: bool) -> None:
    """Tell the Hugging Face client; the last thread to leave puts back what was there."""
    from huggingface_hub import constants

    with _lock:
        if entering:
            _offline.append(bool(constants.HF_HUB_OFFLINE) if not _offline else _offline[0])
            constants.HF_HUB_OFFLINE = True
        else:
            constants.HF_HUB_OFFLINE = _offline.pop()
            if _offline:
                constants.HF_HUB_OFFLINE = True
