"""What was computed once of a collection, in a file beside its rows, so that a restart need not compute it again.

A file says what it was made of (its key) and how its bytes add up (a digest). One that is stale, torn, of another form
or not to be read is as good as none: everything in it can be made anew. Where nothing may be written (a folder that is
read-only, or a server that is) the result lives as long as the process.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deephash.collection import Collection
from deephash.collection.card import replace_file
from deephash.errors import DeephashError
from deephash.foreign import Unfit, read_bytes

logger = logging.getLogger(__name__)
LONGEST = 256 << 20  # bytes of a file; more is computed again
LONGEST_HEADER = 1 << 16
TYPES = frozenset({"uint8", "uint16", "int32", "int64", "float64"})
FORMAT = 1
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kept:
    """What is in a file.

    Attributes:
        arrays: by name.
        facts: numbers and words beside them, as JSON takes them.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def array(self, name: str, dtype: str, *shape: int | None) -> NDArray[Any]:
        """Return an array of that type and shape (None: any length). Raises ValueError: anybody can write a file."""
        found = self.arrays[name]
        fits = found.ndim == len(shape) and all(want in (None, is_) for want, is_ in zip(shape, found.shape))
        if found.dtype != np.dtype(dtype) or not fits:
            raise ValueError(f"{name} is {found.dtype} {found.shape}")
        return found

    def places(self, name: str, below: int, *shape: int | None) -> NDArray[np.int64]:
        """Return an int64 array of places in something that has ``below`` of them. Raises ValueError."""
        found = self.array(name, "int64", *shape)
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < below:
            raise ValueError(f"{name} names what is not there")
        return found


def key_of(*parts: str | NDArray[Any]) -> str:
    """Return one name for all that a result depends on."""
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def kept_or_made(
    collection: Collection,
    name: str,
    key: str,
    *,
    make: Callable[[], T],
    pack: Callable[[T], Kept | None],
    unpack: Callable[[Kept], T],
    writes: bool,
) -> T:
    """Return what is kept under ``key``, else make it, and keep it where ``writes``.

    Args:
        collection: beside whose rows the file lies.
        name: of the file; one result of a name is kept, the newest.
        key: see :func:`key_of`.
        make: makes it.
        pack: what of it is written; None where it should not be kept.
        unpack: the other way. Raises KeyError, TypeError or ValueError for what was not written by ``pack``.
        writes: whether anything may be written.
    """
    path = collection.path / f"{name}.kept"
    found = _read(path, key)
    if found is not None:
        try:
            return unpack(found)
        except (DeephashError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s is not what it should be (%s); it is made anew", path.name, error)
    made = make()
    packed = pack(made) if writes else None
    if packed is not None:
        _write(path, key, packed)
    return made


def _read(path: Path, key: str) -> Kept | None:
    try:
        header, _, content = read_bytes(path, LONGEST).partition(b"\n")
        if len(header) > LONGEST_HEADER:
            return None
        said = json.loads(header)
        if said["key"] != key or said["digest"] != hashlib.sha256(content).hexdigest():
            return None
        arrays, begin = {}, 0
        for name, dtype, shape in said["arrays"]:
            if dtype not in TYPES:
                return None
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(content, dtype, count, begin).reshape(shape)
            begin += arrays[name].nbytes
        return Kept(arrays, said["facts"])
    except (Unfit, OSError, KeyError, TypeError, ValueError, RecursionError):  # absent, torn, or somebody else's
        return None


def _write(path: Path, key: str, kept: Kept) -> None:
    arrays = {name: np.ascontiguousarray(array) for name, array in kept.arrays.items()}
    content = b"".join(array.tobytes() for array in arrays.values())
    header = {
        "key": key,
        "digest": hashlib.sha256(content).hexdigest(),
        "facts": dict(kept.facts),
        "arrays": [[name, str(array.dtype), list(array.shape)] for name, array in arrays.items()],
    }
    if len(content) > LONGEST // 2:
        return
    try:
        replace_file(path, json.dumps(header).encode() + b"\n" + content)
    except OSError as error:
        logger.info("%s is not kept: %s", path.name, error.strerror or error)
