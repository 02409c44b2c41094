"""Below collections: a picture's bytes become upright 8-bit RGB within a budget of memory; two pictures are compared.

Without torch. What a network makes of the pixels is :mod:`deephash.encoding`'s matter.
"""

from deephash.pictures.memory import PictureMemory
from deephash.pictures.opening import (
    MAX_PIXELS,
    PictureFacts,
    PictureSource,
    content_hash,
    looks_like_picture,
    open_picture,
    read_file,
    read_picture,
    scan_folder,
)

__all__ = [
    "MAX_PIXELS",
    "PictureFacts",
    "PictureMemory",
    "PictureSource",
    "content_hash",
    "looks_like_picture",
    "open_picture",
    "read_file",
    "read_picture",
    "scan_folder",
]
