"""How many bytes decoding may take: estimated from a picture's header, and shared by all threads of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from operator import mul
from typing import Any

from PIL import Image

from deephash.errors import UnreadablePicture, UsageError

MIB = 1 << 20
LIMIT_VARIABLE, USUAL_LIMIT_MIB = "DEEPHASH_DECODE_MIB", 512
# Pillow's usual blocks of 16 MiB come from heaps that glibc keeps for each thread: three busy threads of a server held
# on to 1 GB after as many large pictures. Blocks above 32 MiB, glibc's largest threshold, go back to the system.
Image.core.set_block_size(64 * MIB)  # type: ignore[attr-defined]
LARGE = 64 * MIB  # what is decoded to more than this is handed on reduced, where the caller names a side

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # Pillow keeps every other mode in 4
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323


def decode_limit() -> int:
    """Return the limit in bytes: 512 MiB, or what ``DEEPHASH_DECODE_MIB`` says. Raises UsageError for no number."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return USUAL_LIMIT_MIB * MIB
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MIB:
        raise UsageError(f"{LIMIT_VARIABLE} is a whole number of MiB, e.g. {LIMIT_VARIABLE}=1024, not {text!r}")
    return int(text) * MIB


def stored_bytes(picture: Image.Image) -> int:
    """Return how much memory the decoded pixels take, in Pillow's own layout."""
    return picture.width * picture.height * _STORED.get(picture.mode, 4)


def decoding_bytes(picture: Any, data: bytes, full_size: tuple[int, int]) -> int:
    """Return an upper estimate of the memory that decoding takes, of a picture that is opened but not yet loaded.

    ``full_size`` is what it had before draft mode.

    Measured with Pillow 12 (a test repeats it): WebP and AVIF keep whole frames beside the result, JPEG 2000 keeps
    integers, and a JPEG of several scans keeps the coefficients of the full size however far it is reduced.
    """
    pixels, stored = int(picture.width * picture.height), stored_bytes(picture)
    match picture.format:
        case "WEBP":
            return 17 * pixels
        case "AVIF":
            return 14 * pixels
        case "JPEG2000":
            reduced = pixels >> 2 * int(getattr(picture, "_reduce", 0))
            return reduced * (4 + 6 * len(picture.getbands()))
        case "JPEG" | "MPO":
            return stored + _coefficient_bytes(picture, data, full_size)
        case "TIFF":
            return 2 * stored + _strip_bytes(picture)  # Pillow turns TIFFs upright by a copy
        case "PNG":
            return stored + 16 * int(picture.width)
    return stored + pixels


class DecodeBudget:
    """Bytes that threads take before decoding and give back afterwards; who would exceed the limit waits."""

    def __init__(self) -> None:
        self._held, self._freed = 0, threading.Condition()

    @contextmanager
    def hold(self, size: int, what: str) -> Iterator[None]:
        """Wait until ``size`` bytes are free and keep them meanwhile.

        Raises:
            UnreadablePicture: it is more than there is altogether; ``what`` begins the sentence.
        """
        limit = decode_limit()
        if size > limit:
            raise UnreadablePicture(
                f"{what} take about {-(-size // MIB):,} MiB to decode, more than the limit of {limit // MIB:,} MiB; "
                f"shrink it, or raise the limit: {LIMIT_VARIABLE}={1 << (-(-size // MIB) - 1).bit_length()}"
            )
        with self._freed:
            while self._held and self._held + size > limit:
                self._freed.wait()
            self._held += size
        try:
            yield
        finally:
            with self._freed:
                self._held -= size
                self._freed.notify_all()


BUDGET = DecodeBudget()
if hasattr(os, "register_at_fork"):  # a worker process starts with nothing held, and with no lock held by a lost thread
    os.register_at_fork(after_in_child=BUDGET.__init__)  # type: ignore[misc]


def _coefficient_bytes(picture: Any, data: bytes, full_size: tuple[int, int]) -> int:
    """Return what libjpeg keeps of a JPEG of several scans: 2 bytes a coefficient, at full size."""
    if not picture.info.get("progressive") and _components_in_first_scan(data) >= picture.layers:
        return 0
    across, down = ([part[place] for part in picture.layer] for place in (1, 2))
    share = sum(map(mul, across, down)) / max(1, max(across, default=1) * max(down, default=1))
    return int(2 * full_size[0] * full_size[1] * share)


def _components_in_first_scan(data: bytes) -> int:
    place = 2
    while place + 4 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:
            return data[place + 4]
        place += 2 + length if marker != 0xFF else 1
    return 0


def _strip_bytes(picture: Any) -> int:
    """Return the size of one strip or tile, which libtiff unpacks beside the picture."""
    tags, (width, height) = picture.tag_v2, picture.size
    rows, across, down = (tags.get(tag) for tag in (_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT))
    if isinstance(across, int) and isinstance(down, int):
        return int(min(4 * across * down, 8 * width * height))
    return int(4 * width * (min(rows, height) if isinstance(rows, int) else height))


def icon_bytes(data: bytes) -> int:
    """Return what decoding an icon takes, by the heads of the pictures in it: its own table tells no more than 256."""
    most = 0
    for entry in range(6, 6 + 16 * int.from_bytes(data[4:6], "little"), 16):
        start = int.from_bytes(data[entry + 12 : entry + 16], "little")
        head = data[start : start + 24]
        if head.startswith(b"\x89PNG"):
            width, height = (int.from_bytes(head[place : place + 4], "big") for place in (16, 20))
        else:
            width, height = (int.from_bytes(head[place : place + 4], "little", signed=True) for place in (4, 8))
        most = max(most, abs(width * height))
        if entry > len(data):
            break
    return 12 * most
