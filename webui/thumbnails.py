"""Thumbnails: the only form in which the page shows a picture of a collection."""

from __future__ import annotations

import threading
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from deephash.collection import Collection, Item
from deephash.collection.sources.again import is_elsewhere, source_of
from deephash.errors import DeephashError, UnreadablePicture
from deephash.pictures import open_picture, read_picture

SIDE = 256
MAX_SIDE = 1024
CACHE_BYTES = 64 << 20
PIXEL_ART = 64  # pictures smaller than this are enlarged without smoothing, so that their pixels stay visible


class Thumbnails:
    """Re-encodes pictures of collections, and keeps the newest in memory.

    A file is opened only if it lies, symbolic links resolved, below the collection's root or inside the collection's
    own folder. What leaves is always a fresh JPEG or PNG without EXIF data.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._cache: OrderedDict[tuple[str, int], tuple[bytes, str]] = OrderedDict()
        self._size, self._limit = 0, limit
        self._lock = threading.Lock()

    def get(self, collection: Collection, item: Item, side: int = SIDE) -> tuple[bytes, str]:
        """Return the bytes and the media type of a thumbnail whose longer side is at most ``side`` pixels.

        Raises:
            UnreadablePicture: the file is gone, damaged, or outside the collection's folders.
        """
        side = max(16, min(side, MAX_SIDE))
        key = (f"{collection.path}\0{item.uri}\0{item.content_hash}", side)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        made = encode_thumbnail(open_item(collection, item, reduced_to=side), side)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, int], made: tuple[bytes, str]) -> None:
        with self._lock:
            if key in self._cache:
                return
            self._cache[key] = made
            self._size += len(made[0])
            while self._size > self._limit and self._cache:
                _, (old, _) = self._cache.popitem(last=False)
                self._size -= len(old)


def open_item(collection: Collection, item: Item, *, reduced_to: int | None = None) -> Image.Image:
    """Open the picture of an item, after checking that it lies where the collection's pictures lie."""
    return open_picture(_safe_source(collection, item), reduced_to=reduced_to)


def original_size(collection: Collection, item: Item) -> dict[str, int | None]:
    """Return width, height and bytes of an item's file. Raises UnreadablePicture as :meth:`Thumbnails.get` does."""
    source = _safe_source(collection, item)
    facts = read_picture(source, reduced_to=PIXEL_ART)[1]
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return {"width": facts.width, "height": facts.height, "bytes": size}


def _safe_source(collection: Collection, item: Item) -> Path | bytes:
    """Return the path of an item's picture, or its bytes where it lies in a shard or an object store."""
    if "://" not in item.uri and "\0" not in item.uri and is_elsewhere(collection, item):
        return source_of(collection, item)
    return safe_path(collection, item)


def safe_path(collection: Collection, item: Item) -> Path:
    """Return the resolved path of an item's picture. Raises UnreadablePicture where it lies outside the collection."""
    if "://" in item.uri or "\0" in item.uri:
        raise UnreadablePicture(f"{item.uri}: only files of the collection's folder are shown")
    try:
        path = Path(collection.picture_path(item)).resolve()
        homes = [Path(collection.path).resolve(), *([Path(collection.root).resolve()] if collection.root else [])]
        inside = any(path.is_relative_to(home) for home in homes)
        there = inside and path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a name that is too long, a loop of links
        if isinstance(error, DeephashError):
            raise
        reason = getattr(error, "strerror", None) or "a loop of links"
        raise UnreadablePicture(f"{item.uri[:80]}: {reason}") from None
    if not inside:
        raise UnreadablePicture(f"{item.uri}: the file lies outside the collection's folder and is not shown")
    if not there:
        raise UnreadablePicture(f"{item.uri}: the file is no longer there; bring the collection up to date")
    return path


def encode_thumbnail(picture: Image.Image, side: int = SIDE) -> tuple[bytes, str]:
    """Return a small JPEG, or a PNG for tiny pictures; without any metadata."""
    buffer = BytesIO()
    if max(picture.size) <= PIXEL_ART:
        factor = max(1, min(side, 160) // max(picture.size))
        size = (picture.width * factor, picture.height * factor)
        picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", optimize=False)
        return buffer.getvalue(), "image/png"
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    small.info.clear()
    small.save(buffer, "JPEG", quality=82)
    return buffer.getvalue(), "image/jpeg"


def placeholder(side: int = SIDE) -> tuple[bytes, str]:
    """Return a grey picture with a cross: shown where a file is gone or damaged."""
    sheet = Image.new("RGB", (side, side), (200, 204, 210))
    pen = ImageDraw.Draw(sheet)
    inner, outer = side // 3, side - side // 3
    pen.line((inner, inner, outer, outer), fill=(140, 146, 156), width=4)
    pen.line((inner, outer, outer, inner), fill=(140, 146, 156), width=4)
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"
