"""Whether visitors can be sent here: the collections are opened, and the first of them has answered once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Readiness:
    """Where a server stands on its way to the first answer.

    Attributes:
        waits_for: what is still to come, as a sentence; empty once the server is ready, and for good.
    """

    waits_for: str = "The collections are opened; the first encoder is still being loaded."

    @property
    def ready(self) -> bool:
        """Whether a visitor would be answered at once."""
        return not self.waits_for

    def arrived(self) -> None:
        """Say that the first collection has answered."""
        self.waits_for = ""

    def failed(self, name: str) -> None:
        """Say that it could not; a server that was ready stays so, for its other collections answer."""
        if not self.ready:
            self.waits_for = f"The collection {name} could not answer a first time; the server printed why."
