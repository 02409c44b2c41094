"""Open any picture file as 8-bit RGB, or say in one sentence why it cannot be opened; find pictures in a folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deephash.errors import UnreadablePicture, UsageError
from deephash.foreign.names import printable
from deephash.pictures.decode_budget import MIB, decode_limit
from deephash.pictures.decoding import Decoded, decode, formats, open_lazily
from deephash.pictures.rgb import from_array, spoken

PictureSource: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any]

MAX_PIXELS = 1 << 28  # 16,384 x 16,384; the bytes that decoding takes are the narrower limit


@dataclass(frozen=True)
class PictureFacts:
    """What a picture file says about itself.

    Attributes:
        width: pixels, as seen (after EXIF rotation), at full size.
        height: likewise.
        taken: EXIF date and time of the exposure, without a time zone because cameras store none.
        scaled: which values were taken as black and white, where the file leaves that open; None for plain pictures.
    """

    width: int
    height: int
    taken: datetime | None = None
    scaled: str | None = None


def open_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None) -> Image.Image:
    """Return ``source`` as an 8-bit RGB PIL picture, upright.

    EXIF rotation is applied; CMYK, palette, grey, 16-bit, integer and float pictures are converted (see
    :func:`deephash.pictures.value_range.find_range`); transparency is laid on white; an animation gives its first
    frame. Decoding takes at most 512 MiB at any time, over all threads together, or what the environment variable
    ``DEEPHASH_DECODE_MIB`` says; a picture that would take more is refused before its pixels are decoded.

    Args:
        source: a path, the bytes of a file, a PIL picture, or an array [H, W] or [H, W, 1, 3 or 4] of numbers.
        max_pixels: larger pictures are refused before their pixels are decoded (decompression bombs).
        reduced_to: a JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose shorter side is at least this many
            pixels: several times faster for a network that looks at a few hundred pixels. Pictures of other formats
            are reduced likewise, by a whole number, where they take more than 64 MiB.

    Raises:
        UnreadablePicture: with the reason.
    """
    return read_picture(source, max_pixels=max_pixels, reduced_to=reduced_to)[0]


def read_picture(
    source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None
) -> tuple[Image.Image, PictureFacts]:
    """Do what :func:`open_picture` does, and return the facts beside the picture."""
    name = "these bytes" if isinstance(source, bytes) else "this picture"
    name = printable(source) if isinstance(source, str | Path) else name
    try:
        if isinstance(source, np.ndarray):
            picture, values = from_array(source)
            return picture, PictureFacts(picture.width, picture.height, scaled=spoken(values))
        if isinstance(source, Image.Image):
            return _with_facts(decode(source, max_pixels, reduced_to, b""))
        data = source if isinstance(source, bytes) else read_file(source)
        if not data:
            raise UnreadablePicture("empty file (0 bytes)")
        with open_lazily(data) as opened:
            return _with_facts(decode(opened, max_pixels, reduced_to, data))
    except UnreadablePicture as error:
        raise UnreadablePicture(f"{name}: {error}") from None
    except UsageError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise UnreadablePicture(f"{name}: {_reason(error)}") from None


def read_file(path: str | Path) -> bytes:
    """Return the content of a regular file; a pipe, a device or a socket is never opened, and so never waited for.

    Raises:
        UnreadablePicture: it is something else, or larger than decoding may take; the sentence does not name the path.
        OSError: it cannot be read.
    """
    limit = decode_limit()
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadablePicture("not a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced since
            raise UnreadablePicture("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadablePicture(f"the file is larger than the {limit // MIB:,} MiB that decoding may take")
    return data


def content_hash(data: bytes) -> str:
    """Return 32 hexadecimal digits (BLAKE2b of 16 bytes) of a file's content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def scan_folder(folder: str | Path) -> Iterator[Path]:
    """Yield the picture files below ``folder``, judged by their names, in a fixed order; hidden ones are left out.

    Raises:
        UnreadablePicture: the folder does not exist.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UnreadablePicture(f"{root} is not a folder; give the folder that holds the pictures")
    yield from files_below(root, looks_like_picture)


def files_below(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Yield the files whose names are ``wanted``, in a fixed order; hidden folders and collections are passed over."""
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(".dh"))
        yield from (Path(directory, name) for name in sorted(files) if wanted(name))


def looks_like_picture(name: str) -> bool:
    """Say whether a file name ends like one of the formats that :func:`open_picture` reads."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _suffixes()


@cache
def _suffixes() -> frozenset[str]:
    names = {*formats(), "MPO"}  # which the reader of JPEG opens
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in names)


def _with_facts(decoded: Decoded) -> tuple[Image.Image, PictureFacts]:
    return decoded.rgb, PictureFacts(*decoded.size, decoded.taken, decoded.scaled)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return error.strerror
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels (decompression bomb?): {error}"
    return f"damaged or unsupported picture: {' '.join(str(error).split()) or type(error).__name__}"
