"""The picture of an attack: original, adversarial, the change ten times over, and the neighbours before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deephash.attacks.gallery import ADVERSARIAL, CLEAN, Gallery
from deephash.attacks.measuring import Measured
from deephash.attacks.running import Job
from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import DeephashError
from deephash.pictures import open_picture
from deephash.reports.attack import turned_bits

SHEET = "pictures.png"
ROWS, NEIGHBOURS = 8, 5
TILE, GAP, HEAD, LINE = 96, 6, 18, 14  # pixels
MAGNIFIED = 10
_INK, _PAPER, _RIGHT, _WRONG = "#222222", "white", "#1a7f37", "#bc4c00"


def draw_sheet(job: Job, gallery: Gallery, measured: Measured) -> Path:
    """Write ``pictures.png``: the queries whose codes changed most, and return where."""
    flipped = turned_bits(measured.clean, measured.attacked)
    rows = np.argsort(-flipped, kind="stable")[:ROWS].tolist()
    columns = 3 + 2 * NEIGHBOURS
    width, height = columns * (TILE + GAP) + 3 * GAP, HEAD + len(rows) * (TILE + LINE + GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    heads = {0: "query", 1: "attacked", 2: f"change x{MAGNIFIED}", 3: "nearest before", 3 + NEIGHBOURS: "nearest after"}
    for column, text in heads.items():
        pen.text((_left(column), 2), text, fill=_INK)
    for line, row in enumerate(rows):
        top = HEAD + line * (TILE + LINE + GAP)
        clean, changed = (open_picture(gallery.file(part, row)) for part in (CLEAN, ADVERSARIAL))
        for column, picture in enumerate((clean, changed, magnified(clean, changed))):
            sheet.paste(_tile(picture), (_left(column), top))
        pen.text((_left(0), top + TILE + 1), f"{int(flipped[row])} of {job.subject.model.num_bits} bits", fill=_INK)
        for codes, first in ((measured.clean, 3), (measured.attacked, 3 + NEIGHBOURS)):
            _draw_neighbours(sheet, pen, job, codes[[row]], row, first, top)
    sheet.save(gallery.path / SHEET)
    return gallery.path / SHEET


def magnified(clean: Image.Image, changed: Image.Image) -> Image.Image:
    """Return the change ten times over, on grey."""
    before, after = (np.asarray(each, dtype=np.int16) for each in (clean, changed))
    return Image.fromarray((128 + MAGNIFIED * (after - before)).clip(0, 255).astype(np.uint8))


def _draw_neighbours(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, job: Job, code: BinaryCodes, row: int, first: int, top: int
) -> None:
    database = job.subject.pair.database
    distances = hamming_distance(code, database.codes)[0]
    near = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    for place, item in enumerate(near.tolist()):
        left = _left(first + place)
        picture = None if database.names is None else _opened(job.subject.open_picture, str(database.names[item]))
        if picture is not None:
            sheet.paste(_tile(picture), (left, top))
        colour = _RIGHT if _is_right(job, row, item) else _WRONG
        pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=colour, width=2)
        pen.text((left, top + TILE + 1), f"d = {int(distances[item])}", fill=colour)


def _is_right(job: Job, row: int, item: int) -> bool:
    numbered = job.subject.numbered
    if numbered is None:
        return False
    own, other = numbered[0][row], numbered[1][item]
    if np.ndim(own):
        shared: NDArray[np.bool_] = (np.asarray(own) > 0) & (np.asarray(other) > 0)
        return bool(shared.any())
    return bool(own == other)


def _opened(open_by_name: Callable[[str], Image.Image], name: str) -> Image.Image | None:
    try:
        return open_by_name(name)
    except (DeephashError, OSError, KeyError):
        return None


def _tile(picture: Image.Image) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), _PAPER)
    shown = picture.convert("RGB")
    scale = TILE / max(shown.size)
    size = tuple(max(1, round(side * scale)) for side in shown.size)
    enlarged = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    tile.paste(shown.resize((size[0], size[1]), enlarged), ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile


def _left(column: int) -> int:
    """Return the left edge; wider gaps stand before the neighbours."""
    return GAP + column * (TILE + GAP) + GAP * ((column >= 3) + (column >= 3 + NEIGHBOURS))
