"""What lies elsewhere, on the command line: commands work on copies here, and speak of addresses.

Collections in an object store (``s3://BUCKET/NAME.dh``), and models and collections of the Hugging Face hub
(``hf:USER/NAME``, ``hf:datasets/USER/NAME``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from deephash.collection.stored import here, is_stored_name
from deephash.foreign.hub import HubName, fetched, is_hub_name


def with_copies(words: list[str]) -> list[str]:
    """Put the folder of its copy for each address, and let what is printed name the address again.

    Raises:
        UsageError: an address that cannot be one.
        CollectionError: the store does not answer, or refuses.
        DataError: the hub has no such repository, or does not answer.
    """
    if words[1:2] in (["push"], ["publish"]) and words[3:4]:  # the last word is where to, not where from
        return [*with_copies(words[:3]), *words[3:]]
    pairs = [_value_of(word) for word in words]
    copies = {value.rstrip("/"): str(copy) for _, value in pairs if (copy := _copy_of(value)) is not None}
    if copies:
        sys.stdout, sys.stderr = _Named(sys.stdout, copies), _Named(sys.stderr, copies)  # type: ignore[assignment]
    return [head + copies.get(value.rstrip("/"), value) for head, value in pairs]


def _copy_of(value: str) -> Path | None:
    if is_stored_name(value):
        return here(value)
    return fetched(HubName.parse(value)) if is_hub_name(value) else None


def _value_of(word: str) -> tuple[str, str]:
    """Return ``("--out=", "x.dh")`` of ``--out=x.dh``, and ``("", word)`` of anything else."""
    head, equals, value = word.partition("=")
    return (head + equals, value) if word.startswith("--") and equals else ("", word)


class _Named:
    """A stream on which copies are called by their addresses."""

    def __init__(self, stream: TextIO, copies: dict[str, str]) -> None:
        self._stream, self._copies = stream, copies

    def write(self, text: str) -> int:
        for address, folder in self._copies.items():
            text = text.replace(folder, address)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
