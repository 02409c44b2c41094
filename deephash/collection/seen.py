"""What a model was trained on, so that an evaluation on the same items can say so: hashes, never names or pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import CollectionDamaged
from deephash.foreign import Unfit, read_npz, refused_as
from deephash.pictures import content_hash

FILE_NAME = "seen.npz"
_COLUMNS = ("contents", "names")
WIDTH = 16  # bytes of a hash
_HASH = re.compile(rf"[0-9a-f]{{{2 * WIDTH}}}")  # a collection may hold anything in its place, which matches nothing
Hashes = NDArray[np.void]


@dataclass(frozen=True, eq=False)
class SeenItems:
    """Items that a model was trained on or chosen by, told by what is in their files, else by their names.

    Attributes:
        contents: sorted hashes of files [N].
        names: sorted hashes of names [M], of items that are no files.
    """

    contents: Hashes
    names: Hashes

    @classmethod
    def of(cls, *, contents: Iterable[str] = (), names: Iterable[str] = ()) -> SeenItems:
        """Take the :func:`content_hash` of files, and the names of what is no file."""
        return cls(_hashes(contents), _hashes(content_hash(name.encode()) for name in names))

    def __len__(self) -> int:
        return len(self.contents) + len(self.names)

    def __or__(self, other: SeenItems) -> SeenItems:
        return SeenItems(np.union1d(self.contents, other.contents), np.union1d(self.names, other.names))

    def mask(self, contents: Sequence[str | None], names: Sequence[str]) -> NDArray[np.bool_]:
        """Say which of N items were seen; one whose content is not known is told by its name."""
        known = np.isin(_hashes((each or "" for each in contents), in_order=True), self.contents)
        if len(self.names):
            known |= np.isin(_hashes((content_hash(name.encode()) for name in names), in_order=True), self.names)
        return known

    def save(self, folder: Path) -> None:
        """Write ``seen.npz`` into a model folder."""
        np.savez(folder / FILE_NAME, contents=_bytes(self.contents), names=_bytes(self.names))

    @classmethod
    def load(cls, folder: Path) -> SeenItems | None:
        """Read ``seen.npz`` of a model folder; None where there is none. Raises CollectionDamaged."""
        path = folder / FILE_NAME
        advice = (
            "copy the model folder again, or remove that file: then nobody is warned when a model is scored on what it "
            "was trained on"
        )
        if not os.path.lexists(path):
            return None
        with refused_as(CollectionDamaged, advice):
            columns = read_npz(path, _COLUMNS)
            return cls(*(_checked(columns.get(name), name, path) for name in _COLUMNS))


def _hashes(digits: Iterable[str], *, in_order: bool = False) -> Hashes:
    rows = [bytes.fromhex(each if _HASH.fullmatch(each) else "00" * WIDTH) for each in digits]
    column = np.array(rows, dtype=f"V{WIDTH}")
    return column if in_order else np.unique(column)


def _bytes(column: Hashes) -> NDArray[np.uint8]:
    return np.frombuffer(column.tobytes(), np.uint8).reshape(-1, WIDTH)


def _checked(rows: NDArray[Any] | None, name: str, path: Path) -> Hashes:
    if rows is None or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != WIDTH:
        found = "nothing" if rows is None else f"{rows.dtype} {list(rows.shape)}"
        raise Unfit(f"{path} cannot be read: it holds {found} as {name}, and hashes are uint8 [N, {WIDTH}]")
    return np.frombuffer(rows.tobytes(), f"V{WIDTH}")
