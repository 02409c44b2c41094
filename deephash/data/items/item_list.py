"""ItemList: what a list of items says, whoever wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deephash.collection.label_words import SEVERAL
from deephash.collection.sources.found import FoundFile
from deephash.errors import DataError

PictureAt = Path | FoundFile | None


@dataclass(frozen=True)
class ItemList:
    """N items.

    Attributes:
        source: the file or folder, for messages.
        names: one an item; the same one may stand there twice.
        checksum: of what the list says, so that cached features are found again.
        pictures: a file, or a picture inside a shard; None for an item without one. None where no item has pictures.
        texts: captions; "" for an item without one. None where no item has texts.
        labels: class names joined by ``|``; "" for an unlabelled item. None where nothing is labelled.
        split: names of splits joined by commas; "" for an item of none. None where the list does not say.
        columns: everything else that it says, as text, by name.
        notes: sentences for the reader.
    """

    source: str
    names: Sequence[str]
    checksum: str
    pictures: Sequence[PictureAt] | None = None
    texts: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    split: Sequence[str] | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def missing_files(self) -> list[str]:
        """Return the names of items whose picture is no file that is there."""
        pairs = zip(self.names, self.pictures or (), strict=False)
        return [name for name, at in pairs if isinstance(at, Path) and not at.is_file()]


def word_of(name: object) -> str:
    """Return a class name as it can stand among several, joined by ``|``."""
    return " ".join(str(name).replace(SEVERAL, "/").split())


def joined(names: Sequence[object]) -> str:
    """Return class names joined by ``|``, each once."""
    return SEVERAL.join(dict.fromkeys(word for word in map(word_of, names) if word))


def told_apart(split: Sequence[str]) -> Sequence[str] | None:
    """Return the splits that files are named for, or None where all are of one, which divides nothing."""
    return split if len(set(split)) > 1 else None


def checksum_of_files(files: Sequence[Path]) -> str:
    """Return a digest of names, sizes and times of large files, which are not read for it. Raises DataError."""
    digest = hashlib.sha256()
    try:
        for path in files:
            facts = path.stat()
            digest.update(f"{path.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None
    return digest.hexdigest()
