"""Open any picture file as 8-bit RGB, or say in one sentence why it cannot be opened; find pictures in a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from deephash.errors import UnreadablePicture

PictureSource: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any]

MAX_PIXELS = 178_956_970  # where Pillow itself gives up (twice its MAX_IMAGE_PIXELS)

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_ORIENTATION, _DATE_TAKEN, _DATE_CHANGED, _EXIF_BLOCK = 0x0112, 0x9003, 0x0132, 0x8769
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class PictureFacts:
    """What a picture file says about itself.

    Attributes:
        width: pixels, as seen (after EXIF rotation), at full size.
        height: likewise.
        taken: EXIF date and time of the exposure, without a time zone because cameras store none.
    """

    width: int
    height: int
    taken: datetime | None = None


def open_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None) -> Image.Image:
    """Return ``source`` as an 8-bit RGB PIL picture, upright.

    EXIF rotation is applied; CMYK, palette, grey and 16-bit pictures are converted; transparency is laid on white; an
    animation gives its first frame.

    Args:
        source: a path, the bytes of a file, a PIL picture, or an array [H, W] or [H, W, 3 or 4] of uint8 or uint16.
        max_pixels: larger pictures are refused before their pixels are decoded (decompression bombs).
        reduced_to: a JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose shorter side is at least this many
            pixels: several times faster for a network that looks at a few hundred pixels.

    Raises:
        UnreadablePicture: with the reason.
    """
    return read_picture(source, max_pixels=max_pixels, reduced_to=reduced_to)[0]


def read_picture(
    source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None
) -> tuple[Image.Image, PictureFacts]:
    """Do what :func:`open_picture` does, and return the facts beside the picture."""
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(source), PictureFacts(source.width, source.height)
    name = "these bytes" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read_file(Path(source))
    if not data:
        raise UnreadablePicture(f"{name}: empty file (0 bytes)")
    try:
        return _decode(data, max_pixels, reduced_to)
    except UnreadablePicture as error:
        raise UnreadablePicture(f"{name}: {error}") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise UnreadablePicture(f"{name}: {_reason(error)}") from None


def scan_folder(folder: str | Path) -> Iterator[Path]:
    """Yield the picture files below ``folder``, judged by their names, in a fixed order; hidden ones are left out.

    Raises:
        UnreadablePicture: the folder does not exist.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UnreadablePicture(f"{root} is not a folder; give the folder that holds the pictures")
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(".dh"))
        yield from (Path(directory, name) for name in sorted(files) if looks_like_picture(name))


def looks_like_picture(name: str) -> bool:
    """Say whether a file name ends like one of the formats that :func:`open_picture` reads."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _suffixes()


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # AVIF and WebP depend on how Pillow was built


@cache
def _suffixes() -> frozenset[str]:
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in _formats())


def _read_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would block for ever
            raise UnreadablePicture(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise UnreadablePicture(f"{path}: {error.strerror or error}") from None


def _decode(data: bytes, max_pixels: int, reduced_to: int | None) -> tuple[Image.Image, PictureFacts]:
    with Image.open(BytesIO(data), formats=_formats()) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise UnreadablePicture(
                f"{width} x {height} pixels are more than the limit of {max_pixels:,}; shrink it, or raise max_pixels"
            )
        exif = _exif(picture)
        if exif.get(_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
        if reduced_to is not None:
            picture.draft("RGB", (reduced_to, reduced_to))  # acts on JPEG only
        return _to_rgb(picture), PictureFacts(width, height, _date_taken(exif))


def _exif(picture: Image.Image) -> Image.Exif | dict[int, Any]:
    try:
        return picture.getexif()
    except Exception:  # a broken EXIF block is no reason to lose the picture
        return {}


def _date_taken(exif: Image.Exif | dict[int, Any]) -> datetime | None:
    try:
        block = exif.get_ifd(_EXIF_BLOCK) if isinstance(exif, Image.Exif) else {}
        text = block.get(_DATE_TAKEN) or exif.get(_DATE_CHANGED)
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # absent, zeros, or free text
        return None


def _to_rgb(picture: Image.Image) -> Image.Image:
    picture = _upright(picture)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = Image.fromarray(_eight_bits(np.asarray(picture)))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", layer.size, (255, 255, 255))
        picture.paste(layer, mask=layer.getchannel("A"))
    return picture.convert("RGB")


def _upright(picture: Image.Image) -> Image.Image:
    if _exif(picture).get(_ORIENTATION, 1) == 1:
        picture.load()  # decodes here, so that a truncated file is noticed
        return picture
    return ImageOps.exif_transpose(picture)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale integers from 16 bits, and floats from 0..1 or 0..255, whichever holds them; anything larger by its top."""
    top = float(values.max(initial=0))
    usual = (1.0, 255.0) if values.dtype.kind == "f" else (65535.0,)
    full = next((bound for bound in usual if top <= bound), top)
    return np.clip(values.astype(np.float64) * (255.0 / full), 0, 255).astype(np.uint8)


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or not array.size:
        raise UnreadablePicture(
            "a picture array is uint8 or uint16 of shape [H, W] or [H, W, 3 or 4], not "
            f"{array.dtype} {list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UnreadablePicture(f"a picture array has 1, 3 or 4 channels last, not shape {list(array.shape)}")
    pixels = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels (decompression bomb?): {error}"
    return f"damaged or unsupported picture: {error or type(error).__name__}"
