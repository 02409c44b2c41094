"""RunFolder: everything about one training run, so that it can be repeated, resumed, evaluated and believed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deephash.data.codebook import BOOK_NAME
from deephash.data.datamodule import HashDataModule
from deephash.data.streams import STREAM_NAME
from deephash.errors import DataError
from deephash.foreign import read_json, refused_as
from deephash.foreign.replacing import put_in_place
from deephash.models import HashModel
from deephash.training.provenance import git_facts, machine, versions
from deephash.version import __version__

_WRITTEN = ("config.yaml", "splits.json", "run.json", "metrics.csv", "skipped.tsv", STREAM_NAME, BOOK_NAME)


class RunFolder:
    """``config.yaml``, ``splits.json``, ``run.json``, ``metrics.csv``, ``model/`` (best), ``last/`` and ``last.ckpt``.

    On a task of a stream also ``stream.json`` and ``codebook.npz``.

    Args:
        path: of the folder; it is made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    @classmethod
    def fresh(cls, path: str | Path) -> RunFolder:
        """Return ``path``, or ``path-2``, ``path-3``, ... where it holds a run already: no run is ever overwritten."""
        wanted = Path(path)
        number = 2
        folder = wanted
        while folder.exists() and any(folder.iterdir()):
            folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
        return cls(folder)

    def withdraw(self) -> None:
        """Take the folder away, to free its name, unless it holds a model or what is not written here."""
        if (self.path / "last.ckpt").exists() or (self.path / "model").exists():
            return
        for name in _WRITTEN:
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            self.path.rmdir()

    def write_config(self, text: str) -> None:
        """Keep the resolved configuration."""
        (self.path / "config.yaml").write_text(text, encoding="utf8")

    def write_splits(self, data: HashDataModule) -> None:
        """Keep who was query, train and database, with the checksum that stands in protocol strings."""
        lists = {
            name: split.names if data.by_name else split.rows.tolist() for name, split in sorted(data.splits.items())
        }
        record = {
            "protocol": data.protocol_name,
            "seed": getattr(data, "seed", None),
            "checksum": data.split_checksum,
            "pictures": data.pictures,
            "counts": {name: len(rows) for name, rows in lists.items()},
            "splits": lists,
        }
        self._write_json("splits.json", record)
        if data.skipped:
            lines = [f"{name}\t{reason}\n" for name, reason in sorted(data.skipped.items())]
            (self.path / "skipped.tsv").write_text("".join(lines), encoding="utf8")

    def begin(self, model: HashModel, data: HashDataModule) -> None:
        """Keep what is known at the start."""
        self.write_splits(data)
        self.update(
            deephash=__version__,
            command=sys.argv,
            **git_facts(),
            method=type(model).__name__,
            num_bits=model.num_bits,
            init_args=model.init_args(),
            protocol=data.protocol_name,
            split_checksum=data.split_checksum,
            notes=data.notes,
            machine=machine(),
            versions=versions(),
            started=_now(),
            status="running",
        )

    def update(self, **facts: Any) -> None:
        """Add ``facts`` to ``run.json``."""
        self._write_json("run.json", self.facts() | facts)

    def facts(self) -> dict[str, Any]:
        """Return what ``run.json`` says; empty before the run began."""
        path = self.path / "run.json"
        if not os.path.lexists(path):
            return {}
        with refused_as(DataError, "remove the file; nothing but the record of the run is in it"):
            return read_json(path, "run", no_numbers=True)

    def finish(self, **facts: Any) -> None:
        """Keep what is known at the end."""
        self.update(finished=_now(), **facts)

    def _write_json(self, name: str, record: Mapping[str, Any]) -> None:
        plain = json.loads(json.dumps(record, default=str), parse_constant=lambda _: None)  # JSON knows no NaN
        fresh = self.path / f".{name}.tmp"
        fresh.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf8")
        put_in_place(fresh, self.path / name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
