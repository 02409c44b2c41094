"""Targets of a command that are not there, told before what works on them is imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deephash.errors import DataError, DatasetNotFound, UsageError


def require_target(target: Path, queries: int | None = None) -> None:
    """Raise DataError where a run folder or a collection is not there, UsageError for less than one query."""
    if not target.exists():
        raise DataError(f"{target}: no such run folder or collection")
    if queries is not None and queries < 1:
        raise UsageError(f"--queries is at least 1, not {queries}")


def require_collections(folders: Iterable[Path]) -> None:
    """Raise DatasetNotFound where a collection is not there."""
    for folder in folders:
        if not folder.exists():
            raise DatasetNotFound(
                f"{folder}: no such collection; make it with: deephash index PICTURES --out {folder} --model RUN"
            )
