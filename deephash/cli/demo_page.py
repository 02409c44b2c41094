"""The page of ``deephash demo``: a process of its own, so that it opens while other models are still trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deephash.foreign.extras import require


def require_page() -> None:
    """Raise UsageError where the page cannot be served, before anything is trained."""
    require("serve", "the web page", or_else=", or leave it out: deephash demo --no-serve")


@dataclass(frozen=True)
class Page:
    """A server that runs, or none.

    Attributes:
        address: where.
        server: its process; None where no page was wanted.
    """

    address: str
    server: subprocess.Popen[bytes] | None

    def wait(self, last_words: str) -> int | None:
        """Print ``last_words``, wait until somebody ends the server, return its exit status; None where there is none.

        Who has read the last words may press Ctrl-C at once: that ends the server as it should, and is no error.
        """
        try:
            print(last_words, flush=True)
            return None if self.server is None else self.server.wait()
        except KeyboardInterrupt:
            return None


@contextmanager
def served(
    collections: Sequence[Path], run: Path, report: Path, host: str, port: int, *, wanted: bool
) -> Iterator[Page]:
    """Serve ``collections`` and the report of ``run``, which is written to ``report``, until the block ends."""
    if not wanted:
        yield Page("", None)
        return
    from deephash.scoring import evaluate

    evaluate(run).save(report, pictures=False)
    words = ["serve", *map(str, collections), "--report", str(report / "report.json"), "--host", host]
    server = subprocess.Popen([sys.executable, "-m", "deephash", *words, "--port", str(port)])
    try:
        yield Page(f"http://{host}:{port}", server)
    finally:
        server.terminate()
        server.wait()
