"""The folder of an attack: what was asked, and one PNG a picture, so that an interrupted attack goes on.

What was measured is what is saved: figures are taken from these files, read again.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from deephash.attacks.folders import begin_folder
from deephash.collection.card import replace_file
from deephash.errors import DataError

SETTINGS = "attack.json"
CLEAN, ADVERSARIAL = "clean", "adversarial"
_PNG_END = b"IEND\xaeB`\x82"


class Gallery:
    """Clean and adversarial pictures of the same queries.

    Args:
        path: the folder; it is made.
        names: of the queries, in their order.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, list(names)
        for part in (CLEAN, ADVERSARIAL):
            (path / part).mkdir(parents=True, exist_ok=True)
            for left in (path / part).glob(".*.png.*"):  # of a kill
                left.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any], names: Sequence[str]) -> Gallery:
        """Begin a folder, or go on with one that was begun with the same settings.

        Raises:
            UsageError: it holds something else, or an attack with other settings.
            DataError: its settings cannot be read.
        """
        begin_folder(path, settings, SETTINGS, "attack")
        return cls(path, names)

    def file(self, part: str, row: int) -> Path:
        """Return where the picture of a query lies."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(self.names[row]).with_suffix("").as_posix()).strip("._")[-60:]
        return self.path / part / f"{row:05d}{'_' if stem else ''}{stem}.png"

    def missing(self) -> list[int]:
        """Return the queries whose two pictures are not both here, whole."""
        parts = CLEAN, ADVERSARIAL
        return [row for row in range(len(self.names)) if not all(self._whole(part, row) for part in parts)]

    def keep(self, row: int, clean: Tensor, adversarial: Tensor) -> None:
        """Write both pictures [3, H, W] of a query, each whole or not at all.

        Raises:
            DataError: the disk is full; what is written stays.
        """
        for part, pixels in ((CLEAN, clean), (ADVERSARIAL, adversarial)):
            content = io.BytesIO()
            as_picture(pixels).save(content, format="PNG")
            with _told_when_full(self):
                replace_file(self.file(part, row), content.getvalue())

    def _whole(self, part: str, row: int) -> bool:
        try:
            with self.file(part, row).open("rb") as file:
                file.seek(-len(_PNG_END), os.SEEK_END)
                return file.read() == _PNG_END
        except OSError:
            return False


def as_picture(pixels: Tensor) -> Image.Image:
    """Return float pixels [3, H, W] in [0, 1] as an 8-bit picture, rounded."""
    levels = (pixels.detach().cpu().numpy() * 255).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))


@contextmanager
def _told_when_full(gallery: Gallery) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        kept = len(gallery.names) - len(gallery.missing())
        raise DataError(
            f"no space is left for {gallery.path}; {kept:,} of {len(gallery.names):,} pictures are kept. Free some, "
            "and run the same command to go on"
        ) from None
