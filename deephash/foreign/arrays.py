"""``.npz`` and ``.npy`` of strangers: what the headers claim is held against the bytes that are there, then read.

NumPy allocates what a header claims before it reads, and a zip may unpack to a thousand times its size, or name the
same bytes many times over. Nothing is unpickled.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from deephash.foreign.files import Unfit, in_words, open_regular, require_plausible

MAX_ARRAYS = 1000
_MAX_HEADER = 10_000  # bytes, NumPy's own
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes; others reserve memory as the file says


def read_npz(path: str | Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz``, or those of ``names`` that it has.

    Raises:
        Absent: no such file.
        Unfit: no regular file, no npz, damaged, a bomb, or with arrays of objects.
    """
    with open_regular(path) as file:
        if file.read(2) != b"PK":
            raise Unfit(f"{path} cannot be read as an .npz of plain arrays: {_other_kind(file)}")
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                members = _members(archive, os.fstat(file.fileno()).st_size, path)
                return {name: _read(archive, member, path) for name, member in members.items() if _is_in(name, names)}
        except Unfit:
            raise
        except MemoryError:
            raise Unfit(f"{path} cannot be read: it needs more memory than there is") from None
        except Exception as error:  # readers of damaged files raise nearly anything
            raise Unfit(f"{path} cannot be read as an .npz of plain arrays: {_reason(error)}") from None


def read_npy(path: str | Path) -> NDArray[Any]:
    """Return the one array of an ``.npy``. Raises as :func:`read_npz` does."""
    with open_regular(path) as file:
        try:
            return _read_array(file, os.fstat(file.fileno()).st_size)
        except MemoryError:
            raise Unfit(f"{path} cannot be read: it needs more memory than there is") from None
        except Exception as error:  # as above
            raise Unfit(f"{path} cannot be read as an .npy of plain numbers or text: {_reason(error)}") from None


def _members(archive: zipfile.ZipFile, on_disk: int, path: str | Path) -> dict[str, zipfile.ZipInfo]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(archive.infolist()) > MAX_ARRAYS or len(members) < len(archive.infolist()):
        raise Unfit(f"{path} cannot be read: it holds more than {MAX_ARRAYS} arrays, or one of them twice")
    if any(info.compress_type not in _ZIP_METHODS or info.flag_bits & 1 for info in members.values()):
        raise Unfit(f"{path} cannot be read: it is encrypted, or not compressed as np.savez does; write it so")
    if sum(info.compress_size for info in members.values()) > on_disk:
        raise Unfit(f"{path} cannot be read: it is a zip whose parts overlap; write it with np.savez")
    require_plausible(sum(info.file_size for info in members.values()), on_disk, path)
    return members


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str | Path) -> NDArray[Any]:
    with archive.open(member) as file:
        try:
            return _read_array(file, member.file_size)
        except ValueError as error:
            raise ValueError(f"{member.filename.removesuffix('.npy')[:60]}: {_reason(error)}") from None


def _read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array of an ``.npy`` of ``size`` bytes. Raises ValueError and whatever damaged headers lead to."""
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0  # 3.0 differs in its letters
    shape, _, dtype = header(file, max_header_size=_MAX_HEADER)
    if dtype.hasobject:
        raise ValueError("it holds objects, which only running code of the file could read")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= max(length, 1)  # so that an empty array is bounded by its other sides
    there = size - file.tell()
    if min(shape, default=0) < 0 or (claimed != there if 0 not in shape else there or claimed > 2**40):
        raise ValueError(
            f"its header says {dtype} of shape {_shown(shape)}, {in_words(claimed)}, and {in_words(there)} follow"
        )
    file.seek(0)
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False, max_header_size=_MAX_HEADER)
    return array


def _is_in(name: str, names: Collection[str] | None) -> bool:
    return names is None or name in names


def _other_kind(file: IO[bytes]) -> str:
    file.seek(0)
    if file.read(6) == b"\x93NUMPY":
        return "it holds a single array; write several by name with np.savez"
    return "it is another kind of file, or damaged"


def _shown(shape: tuple[int, ...]) -> str:
    return str(list(shape))[:80]


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__
