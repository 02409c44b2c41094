"""Pictures that were decoded a moment ago: what fits a model to a folder need not be decoded again to be encoded."""

from __future__ import annotations

import threading

from PIL import Image

from deephash.pictures.decode_budget import MIB
from deephash.pictures.opening import PictureFacts, content_hash, read_picture

MOST = 512 * MIB


class PictureMemory:
    """Decoded pictures by the content of their files, up to a number of bytes; those that come later are not kept.

    Several threads may read at once.

    Args:
        most: bytes of pixels.
    """

    def __init__(self, most: int = MOST) -> None:
        self._left = most
        self._kept: dict[tuple[str, int | None], tuple[Image.Image, PictureFacts]] = {}
        self._lock = threading.Lock()

    def read(
        self, data: bytes, *, reduced_to: int | None = None, known_as: str | None = None
    ) -> tuple[Image.Image, PictureFacts]:
        """Do what :func:`~deephash.pictures.read_picture` does for the bytes of a file, decoding them once.

        ``known_as`` is their :func:`~deephash.pictures.content_hash`, where somebody took it already. The picture is
        shared: it is to be read, not drawn on. Raises UnreadablePicture.
        """
        key = known_as or content_hash(data), reduced_to
        found = self._kept.get(key)
        if found is None:
            found = read_picture(data, reduced_to=reduced_to)
            size = 4 * found[0].width * found[0].height  # Pillow keeps RGB in four bytes
            with self._lock:
                if size <= self._left and key not in self._kept:
                    self._kept[key] = found
                    self._left -= size
        return found
