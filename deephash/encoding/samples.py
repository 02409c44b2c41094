"""Some pictures of a folder, as a network reads them, to measure an encoder on."""

from __future__ import annotations

from pathlib import Path

from deephash.encoding.port import CodeEncoder, Row
from deephash.errors import DataError, UnreadablePicture
from deephash.pictures import open_picture, scan_folder


def evenly(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the numbers below ``count``, evenly spread."""
    taken = min(count, most)
    return [place * count // taken for place in range(taken)]


def sample_rows(encoder: CodeEncoder, folder: Path, most: int) -> list[Row]:
    """Return rows of at most ``most`` pictures, evenly spread over a folder; those that cannot be read are left out.

    Raises:
        DataError: there is no such folder, or no picture in it can be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with pictures")
    files, rows = list(scan_folder(folder)), []
    for place in evenly(len(files), most):
        try:
            rows.append(encoder.prepare("image", open_picture(files[place], reduced_to=encoder.picture_side)))
        except UnreadablePicture:
            continue
    if not rows:
        raise DataError(f"no picture in {folder} can be read")
    return rows
