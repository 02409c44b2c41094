"""What looks on while a workspace answers. This one keeps nothing; :mod:`.metrics` counts and times."""

from __future__ import annotations


class Watcher:
    """Told of every answer and of every one that failed, by threads of their own at once."""

    def answered(self, collection: str, kind: str, seconds: float, encode_seconds: float) -> None:
        """Note an answer: how long the whole of it took, and the code of the query alone."""

    def encoded(self, collection: str, kind: str, seconds: float) -> None:
        """Note a code that was asked for without a search."""

    def failed(self, collection: str, error: Exception) -> None:
        """Note a question that was refused or could not be answered."""
