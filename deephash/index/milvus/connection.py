"""Connection: every call to a Milvus server, with patience, and errors that say what to do."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from deephash.errors import EngineUnavailable, UsageError
from deephash.index.milvus.address import MilvusAddress

logger = logging.getLogger(__name__)
TOKEN, CERTIFICATE = "DEEPHASH_MILVUS_TOKEN", "DEEPHASH_MILVUS_CA"
OLDEST = (2, 3)  # first with upsert, and with range search of binary vectors
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # seconds before each further try; a crash takes a server 20 to 40
PATIENCE = 30.0  # seconds for one call
_AGAIN = ("not loaded", "not fully loaded", "not ready", "unavailable", "no available", "node not match", "not healthy")
_FULL = ("no space left", "disk quota", "quota exceeded", "memory limit", "deny to write", "force deny writing")
_DENIED = ("unauthenticated", "auth check failure", "permission deny", "permissiondenied", "not authorized")
T = TypeVar("T")


def client_module() -> Any:
    """Import pymilvus, silent. Raises UsageError with the command that installs it."""
    try:
        import pymilvus
    except ImportError as error:
        raise UsageError(
            f'an index on a Milvus server needs pymilvus ({error}): pip install "deephash[milvus]"'
        ) from None
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)  # each error comes as an exception too
    return pymilvus


class Connection:
    """A connection to one server, made at the first call.

    A user and a password, or a token, come from ``DEEPHASH_MILVUS_TOKEN`` (``user:password``, or the token), and the
    certificate of a server's own authority from the file that ``DEEPHASH_MILVUS_CA`` names. Neither is ever printed.

    Args:
        address: of the server.
        patience: seconds for one call, before it counts as unanswered.
        pauses: seconds before each further try of a call that the server did not answer.
    """

    def __init__(
        self, address: MilvusAddress, *, patience: float = PATIENCE, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        self.address = address
        self._patience, self._pauses = patience, pauses
        self._client: Any = None

    def call(self, what: str, do: Callable[..., T]) -> T:
        """Return ``do(client, seconds)``, tried again while the server does not answer.

        Args:
            what: is being done, for messages: "searching".
            do: makes the call; it may run several times.

        Raises:
            EngineUnavailable: no answer, or a refusal, with the reason.
        """
        pymilvus = client_module()
        for pause in (*self._pauses, None):
            try:
                if self._client is None:
                    self._client = self._connected(pymilvus)
                return do(self._client, self._patience)
            except EngineUnavailable:
                raise
            except Exception as failure:  # gRPC's, pymilvus's and the system's have no common base
                error = _cause(failure)
                reason = self._reason(error)
                if not _is_passing(error, reason):
                    raise self._refusal(what, reason) from None
                if pause is None:
                    raise EngineUnavailable(
                        f"Milvus at {self.address.host} does not answer ({reason}), {what}",
                        remedy="Is the server running, and the address right?",
                    ) from None
                logger.warning(
                    "Milvus at %s does not answer (%s); trying again in %g s", self.address.host, reason, pause
                )
                time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _connected(self, pymilvus: Any) -> Any:
        address, certificate = self.address, os.environ.get(CERTIFICATE)
        secure: dict[str, Any] = {"secure": True} if address.uri.startswith("https") else {}
        if certificate:
            secure["server_pem_path"] = certificate
        client = pymilvus.MilvusClient(
            uri=address.uri,
            token=os.environ.get(TOKEN, ""),
            db_name=address.database,
            timeout=self._patience,
            **secure,
        )
        _require_version(str(client.get_server_version(timeout=self._patience)), address)
        return client

    def _reason(self, error: Exception) -> str:
        """Return what went wrong, in one line without what pymilvus wraps around it, and without a token."""
        text = str(getattr(error, "message", None) or getattr(error, "details", lambda: "")() or error)
        token = os.environ.get(TOKEN, "")
        for secret in filter(None, (token, *token.split(":", 1)[1:])):
            text = text.replace(secret, "...")
        text = re.sub(r"\[\w+\] Retry (timeout|run out)[^,]*, (message=)?", "", text)
        text = re.sub(r",? ?(debug|channel_state)=.*", "", text, flags=re.DOTALL)
        return " ".join(text.replace("StatusCode.", "").split())[:300]

    def _refusal(self, what: str, reason: str) -> EngineUnavailable:
        low = reason.lower()
        if any(word in low for word in _FULL):
            return EngineUnavailable(
                f"Milvus at {self.address.host} has no room left ({reason}), {what}",
                remedy="Give it more disk or memory, or raise its quota; then run the same command again: it goes on.",
            )
        if any(word in low for word in _DENIED):
            return EngineUnavailable(
                f"Milvus at {self.address.host} refuses this user ({reason}), {what}",
                remedy=f"Set {TOKEN} to user:password, or to a token.",
            )
        return EngineUnavailable(f"Milvus at {self.address.host} refused ({reason}), {what}")


def _cause(error: Exception) -> Exception:
    """Return what kept pymilvus from connecting, which it hides behind a sentence."""
    behind = error.__cause__
    return behind if isinstance(behind, Exception) and "Fail connecting" in str(error) else error


def _is_passing(error: Exception, reason: str) -> bool:
    """Say whether the same call may succeed later: no answer, too late, or a server that is still starting."""
    code = getattr(error, "code", None)
    name = str(code() if callable(code) else code)
    low = reason.lower()
    if any(word in low for word in (*_DENIED, *_FULL)):
        return False
    return any(word in name for word in ("UNAVAILABLE", "DEADLINE", "CANCELLED")) or any(
        word in low for word in (*_AGAIN, "deadline", "failed to connect", "connection refused", "timeout")
    )


def _require_version(version: str, address: MilvusAddress) -> None:
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise EngineUnavailable(
            f"{address.host} runs Milvus {version}; deephash needs {'.'.join(map(str, OLDEST))} or newer"
        )
