"""What EXIF says of a picture: which way is up, and when it was taken. Nothing is ever written back."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, TypeAlias

from PIL import Image, TiffTags

Exif: TypeAlias = Image.Exif | dict[int, Any]

_ORIENTATION, _DATE_TAKEN, _DATE_CHANGED, _EXIF_BLOCK = 0x0112, 0x9003, 0x0132, 0x8769
_TURNS = {  # from the orientation of the camera to what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ITEM = re.compile(rb"(infe.{8}|infe.{10})Exif", re.DOTALL)  # entry of the container's table of items
_TIFF_HEAD = re.compile(rb"II\*\0|MM\0\*")
_WHOLE_NUMBERS = {1: 1, 6: 1, 7: 1, 3: 2, 8: 2, 4: 4, 9: 4}  # bytes of a value, by TIFF type
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


def readable_exif(picture: Image.Image) -> Exif:
    """Return as much of the EXIF block as can be read; a broken one is no reason to lose the picture."""
    for _ in range(2):  # Pillow answers the second time with what it had read before it met the error
        try:
            exif = picture.getexif()
            break
        except Exception:
            continue
    else:
        return {}
    for block in TiffTags.TAGS_V2_GROUPS:  # Pillow itself reads these of a TIFF while it decodes
        try:
            if block in exif:
                exif.get_ifd(block)
        except Exception:
            exif.pop(block, None)
    return exif


def without_exif(avif: bytes) -> bytes:
    """Return an AVIF file whose EXIF block is hidden from its reader.

    Its container says which way is up and EXIF has no say. Pillow writes that into the EXIF block while it opens the
    file, which odd tags end.
    """
    return _EXIF_ITEM.sub(rb"\1Exi-", avif)


def exif_of_avif(avif: bytes) -> Exif:
    """Return the EXIF block that :func:`without_exif` hides, as far as it can be read."""
    exif, start = Image.Exif(), _TIFF_HEAD.search(avif) if _EXIF_ITEM.search(avif) else None
    try:
        exif.load(avif[start.start() :] if start else b"")
    except Exception:
        return {}
    return exif


def orientation_of(picture: Image.Image) -> int:
    """Return 1..8; 1 where it is absent or senseless. Values of odd types are read where they leave no doubt.

    The tag is looked up in the block itself: Pillow gives up at the first broken tag, which may stand before it.
    """
    block = picture.info.get("exif")
    value: Any = _inline_orientation(block.removeprefix(b"Exif\0\0")) if isinstance(block, bytes) else None
    try:
        value = readable_exif(picture).get(_ORIENTATION, 1) if value is None else value
        value = value[0] if isinstance(value, tuple | list) else value
        number = float(value.strip(b"\0 ") if isinstance(value, bytes) else value)
    except Exception:
        return 1
    return int(number) if number in _TURNS else 1


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return the picture upright."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def date_taken(exif: Exif) -> datetime | None:
    """Return date and time of the exposure, or else of the last change; None where there is no sensible one."""
    try:
        block = exif.get_ifd(_EXIF_BLOCK) if isinstance(exif, Image.Exif) else {}
        text = block.get(_DATE_TAKEN) or exif.get(_DATE_CHANGED)
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # absent, zeros, or free text
        return None


def _inline_orientation(block: bytes) -> int | None:
    """Return the value of the tag in the first directory, where it is a whole number kept in place."""
    order: Literal["little", "big"] | None = {b"II": "little", b"MM": "big"}.get(block[:2])  # type: ignore[assignment]
    if order is None:
        return None
    start = int.from_bytes(block[4:8], order)
    count = int.from_bytes(block[start : start + 2], order)
    for place in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        if int.from_bytes(block[place : place + 2], order) == _ORIENTATION:
            width = _WHOLE_NUMBERS.get(int.from_bytes(block[place + 2 : place + 4], order), 0)
            if 0 < width * int.from_bytes(block[place + 4 : place + 8], order) <= 4:
                return int.from_bytes(block[place + 8 : place + 8 + width], order)
    return None
