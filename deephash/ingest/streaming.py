"""Streams of codes for :class:`~deephash.index.seen_stream.SeenStream`: pictures that are encoded, code files, a pipe.

Nothing is kept of what went by, so that a stream may be larger than any memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection.sources.every import every_picture
from deephash.collection.sources.found import FoundFile
from deephash.encoding import CodeEncoder
from deephash.encoding.port import Row
from deephash.errors import DataError, UnreadablePicture
from deephash.evaluation.codefile import read_columns
from deephash.foreign.names import as_utf8
from deephash.index.seen_stream import SeenStream
from deephash.pictures import open_picture

AT_ONCE = 256  # pictures
CODES_AT_ONCE = 1 << 16
T = TypeVar("T")


@dataclass(frozen=True)
class Passed:
    """One batch that went by.

    Attributes:
        names: of its items, for the reader.
        codes: of them.
        keys: by which they are known to have been looked at; None where items have no identity.
        again: items that were left out, as they were looked at before.
        unreadable: items that could not be read, with reasons.
    """

    names: Sequence[str]
    codes: BinaryCodes
    keys: Sequence[str] | None
    again: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def picture_stream(place: Path, encoder: CodeEncoder, state: SeenStream) -> Iterator[Passed]:
    """Encode the pictures of a folder, of its tar and Parquet shards, or of one shard; those looked at are left out."""
    side = encoder.picture_side

    def prepared(file: Path | FoundFile) -> Row | str:
        try:
            source = file.read() if isinstance(file, FoundFile) else file
            return encoder.prepare("image", open_picture(source, reduced_to=side))
        except (UnreadablePicture, OSError) as error:
            return str(getattr(error, "strerror", None) or error)

    with ThreadPoolExecutor() as pool:
        for files in _chunks(every_picture(place), AT_ONCE):
            keys = [_key(file) for file in files]
            new = [row for row, is_new in enumerate(state.is_new(keys)) if is_new]
            rows = dict(zip(new, pool.map(prepared, [files[row] for row in new]), strict=True))
            names = {row: _name(files[row], place) for row in new}
            good = {row: each for row, each in rows.items() if not isinstance(each, str)}
            bad = {names[row]: each for row, each in rows.items() if isinstance(each, str)}
            codes = encoder.encode("image", list(good.values())).codes
            yield Passed([names[row] for row in good], codes, [keys[row] for row in good], len(files) - len(new), bad)


def code_stream(file: Path, state: Callable[[int], SeenStream]) -> Iterator[Passed]:
    """Read a code file (``.npz`` of deephash, or ``.npy`` of packed codes uint8 [N, bytes], mapped and not read).

    Args:
        file: where the codes are.
        state: gives the state for codes of so many bits.

    Raises:
        DataError: no such file, or no codes in it.
    """
    codes, names = _codes_of(file)
    facts, opened = file.stat(), state(codes.num_bits)
    stamp = f"{file.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}"
    for first in range(0, len(codes), CODES_AT_ONCE):
        count = min(CODES_AT_ONCE, len(codes) - first)
        keys = [f"{stamp}\0{row}" for row in range(first, first + count)]
        new = np.flatnonzero(opened.is_new(keys))
        called = [names[first + int(row)] if names is not None else f"row {first + row}" for row in new]
        yield Passed(called, codes[first + new], [keys[row] for row in new], count - len(new))


def pipe_stream(lines: Iterable[str], state: Callable[[int], SeenStream]) -> Iterator[Passed]:
    """Read lines ``HEX`` or ``HEX<TAB>NAME``; named items that were looked at are left out.

    Raises:
        DataError: a line that is no code, or of another length than the first.
    """
    opened: SeenStream | None = None
    number = 0
    for chunk in _chunks(filter(None, (line.rstrip("\r\n") for line in lines)), AT_ONCE * 16):
        cells = [line.partition("\t") for line in chunk]
        try:
            length = opened.codes.settings.num_bits if opened else None
            codes = BinaryCodes.from_hex([code for code, _, _ in cells], length)
        except ValueError as error:
            raise DataError(f"lines {number + 1} to {number + len(chunk)} of the pipe: {error}") from None
        opened = opened or state(codes.num_bits)
        named = all(name for _, _, name in cells)
        keys = [name for _, _, name in cells] if named else None
        new = np.flatnonzero(opened.is_new(keys)) if keys is not None else np.arange(len(chunk))
        called = [cells[row][2] or f"line {number + row + 1}" for row in new]
        kept = [keys[row] for row in new] if keys is not None else None
        yield Passed(called, codes[new], kept, len(chunk) - len(new))
        number += len(chunk)


def _codes_of(file: Path) -> tuple[BinaryCodes, Sequence[str] | None]:
    if file.suffix.lower() == ".npy":
        try:
            packed = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read as an .npy of packed codes: {error}") from None
        if packed.ndim != 2 or packed.dtype != np.uint8:
            raise DataError(f"{file} holds {packed.dtype} {list(packed.shape)}; packed codes are uint8 [N, bytes]")
        return BinaryCodes(packed, 8 * packed.shape[1]), None
    columns = read_columns(file)
    names = columns.get("names")
    return BinaryCodes.load(file), None if names is None else names.astype(str).tolist()


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _name(file: Path | FoundFile, place: Path) -> str:
    if isinstance(file, FoundFile):
        return file.uri
    return as_utf8(os.path.relpath(file, place))


def _key(file: Path | FoundFile) -> str:
    """Return what tells an item from others, and from itself once it was changed."""
    if isinstance(file, FoundFile):
        return f"{file.path.absolute()}\0{file.uri}\0{file.size}\0{file.mtime.isoformat()}"
    try:
        facts = file.stat()
    except OSError:
        return f"{file.absolute()}\0gone"
    return f"{file.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}"
