"""Long computations for the page: each once a version of a collection, one after the other, behind everybody's back."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from deephash.errors import DeephashError
from deephash.progress import told

logger = logging.getLogger(__name__)
KEPT = 12  # results, of all collections together


@dataclass(eq=False)
class Job:
    """One computation.

    Attributes:
        label: what is being done at the moment, in words.
        done: steps of it that were made.
        total: steps there are; None where nobody knows.
        result: what was computed.
        error: why nothing was.
    """

    label: str = "waiting for its turn"
    done: int = 0
    total: int | None = None
    result: Any = None
    error: Exception | None = None
    _end: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self._end.is_set()

    def outcome(self) -> Any:
        """Return what was computed, None before the end. Raises what the computation raised."""
        if self.error is not None:
            raise self.error
        return self.result

    def wait(self, seconds: float) -> bool:
        """Wait so long for the end; return whether it has come."""
        return self._end.wait(seconds)

    def finish(self) -> None:
        """Say that it has ended."""
        self._end.set()

    def tell(self, label: str, done: int, total: int | None) -> None:
        """Take how far it has come."""
        self.label, self.done, self.total = label, done, total

    @property
    def share(self) -> float | None:
        """How much of what is being done is done, 0 to 1; None where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else None


class Background:
    """Starts computations in threads, and keeps the newest results.

    Keys come from this program (a collection, its version, what is computed), never from visitors, so there are few.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._kept = kept
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def job(self, key: Hashable, make: Callable[[], Any]) -> Job:
        """Return the job of ``key``; start it where it is new.

        A failure is given once, and the next call tries again. A refusal (DeephashError) is kept like a result.
        """
        with self._lock:
            known = self._jobs.get(key)
            if known is not None and known.error is not None and not isinstance(known.error, DeephashError):
                return self._jobs.pop(key)
            if known is None:
                known = self._jobs[key] = Job()
                threading.Thread(target=self._run, args=(known, make), daemon=True, name="deephash page").start()
            self._jobs.move_to_end(key)
            for old in [old for old, job in self._jobs.items() if job.ended][: max(0, len(self._jobs) - self._kept)]:
                if old != key:
                    del self._jobs[old]
            return known

    def result(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the result where it is there, else None. Raises what the computation raised."""
        return self.job(key, make).outcome()

    def _run(self, job: Job, make: Callable[[], Any]) -> None:
        with self._turn, told(job.tell):  # one at a time: searches want the processor as well
            try:
                job.result = make()
            except Exception as error:
                job.error = error
                if not isinstance(error, DeephashError):
                    logger.exception("a computation for the page failed")
            job.finish()
