"""The card of a collection: what it is and how it was made, in one JSON file beside the rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deephash.errors import CollectionDamaged
from deephash.foreign import read_json, refused_as, require_schema, require_version
from deephash.foreign.replacing import put_in_place

# Of a collection that was upgraded to another model; all others stay at 1, so that older readers open them.
FORMAT_VERSION = 2
CARD_FILE, _FORMAT = "collection.json", "deephash collection"


def is_collection(path: Path) -> bool:
    """Say whether a folder is a collection: whether it has a card."""
    return (path / CARD_FILE).is_file()


def root_text(root: str | Path) -> str:
    """Return a root as a card keeps it: the absolute path of a folder, or an address as it is."""
    return str(root) if str(root).startswith("s3://") else str(Path(root).resolve())


def card_stamp(folder: Path) -> tuple[int, int] | None:
    """Return time and size of the card in ``folder``, which change when it is written; None where there is none."""
    try:
        status = (folder / CARD_FILE).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@dataclass(frozen=True)
class CollectionCard:
    """What a collection says about itself.

    Attributes:
        root: folder that the uris are relative to; None where the uris stand for themselves.
        created: ISO time, UTC.
        created_by: program and version.
        format_version: of the folder's layout; a newer one is refused.
        notes: measured facts by name, such as the recall found by ``deephash collection verify``.
    """

    root: str | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))
    created_by: str = "deephash"
    format_version: int = 1
    notes: Mapping[str, Any] = field(default_factory=dict)

    def with_note(self, name: str, value: Any) -> CollectionCard:
        """Return a copy with one more measured fact."""
        return replace(self, notes={**self.notes, name: value})

    def save(self, folder: Path) -> None:
        """Write the card into ``folder``; a reader sees the old one or the new one, never a half."""
        replace_file(folder / CARD_FILE, self.to_json())

    def to_json(self) -> str:
        """Return the card as its file holds it."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, folder: Path) -> CollectionCard:
        """Read the card in ``folder``. Raises CollectionDamaged or FormatTooNew."""
        path = folder / CARD_FILE
        if not os.path.lexists(path):
            raise CollectionDamaged(
                f"{folder} is not a collection: it has no {CARD_FILE}. Was it copied completely? "
                f"A new one is made by: deephash index PICTURES --out NEW.dh --model RUN"
            )
        with refused_as(CollectionDamaged, "restore that file from a copy of the collection"):
            raw = read_json(path, None, names_of_files=True)
            if raw.get("format") == _FORMAT:
                require_version(raw, folder, "collection", FORMAT_VERSION)
            require_schema(raw, "collection", path)
        known = {name: value for name, value in raw.items() if name in cls.__dataclass_fields__}
        return cls(**known)


def replace_file(path: Path, content: str | bytes) -> None:
    """Replace the file ``path`` atomically, durable before it is visible; text is written as UTF-8."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path)
    except BaseException:  # a full disk, Ctrl-C
        temporary.unlink(missing_ok=True)
        raise
