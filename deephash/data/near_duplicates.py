"""Near-duplicates: queries whose picture is also searched or learned from, recompressed, recoloured or retouched.

A picture is brought to 16 x 16 pixels, the mean of each 4 x 4 patch is taken off, and what is left (edges and texture,
not the colour of the sky) is compared by its correlation. At 0.9 on CIFAR-10 (10,000 test against 50,000 training
pictures, JPEG copies) 156 queries have a twin and 98 % of the pairs are of one class; at 0.8 there are 362, and 89 %.
Shifted, mirrored and cropped copies are not found: ciFAIR (Barz and Denzler, arXiv 1902.00423) counts near-duplicates
for 3.3 % of the test pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.data.check import SEARCHED, Problem
from deephash.data.manifests import SplitManifest
from deephash.errors import UnreadablePicture, UsageError
from deephash.progress import track

SIDE, PATCH = 16, 4
QUERY_BLOCK = 512  # queries compared at once; 100 MB of correlations with 50,000 items


@dataclass(frozen=True)
class Twin:
    """A query and the item of another list that resembles it most; ``similarity`` is their correlation, -1..1."""

    query: str
    other: str
    similarity: float


def find_twins(
    manifest: SplitManifest,
    picture_of: Callable[[str], Image.Image],
    *,
    least: float = 0.9,
    without: Collection[str] = (),
) -> list[Twin]:
    """Return the queries that have a near-duplicate in database or train, most alike first.

    Args:
        manifest: the split.
        picture_of: name -> picture.
        least: correlation from which two pictures are called near-duplicates, above 0 and at most 1.
        without: names that have no picture.

    Raises:
        UsageError: ``least`` is out of range.
    """
    if not 0 < least <= 1:
        raise UsageError(f"near-duplicates are told by a correlation above 0 and at most 1, e.g. 0.9, not {least}")
    queries, others = (
        [name for name in dict.fromkeys(chain(*map(manifest.names_of, splits))) if name not in without]
        for splits in (("query",), SEARCHED)
    )
    asking, searched = _structures(queries, picture_of), _structures(others, picture_of)
    twins, column = [], {name: place for place, name in enumerate(others)}
    for start in range(0, len(queries) if others else 0, QUERY_BLOCK):
        names = queries[start : start + QUERY_BLOCK]
        alike = asking[start : start + QUERY_BLOCK] @ searched.T
        for row, name in enumerate(names):
            if name in column:
                alike[row, column[name]] = -1  # the same item is another check's matter
        best = alike.argmax(axis=1)
        values = alike[np.arange(len(names)), best]
        twins += [Twin(names[row], others[best[row]], float(values[row])) for row in np.flatnonzero(values >= least)]
    return sorted(twins, key=lambda twin: (-twin.similarity, twin.query))


def problem_of(twins: Sequence[Twin], num_queries: int) -> list[Problem]:
    """Return what check says of them: one problem, or none."""
    if not twins:
        return []
    share = f"{len(twins):,} of {num_queries:,} queries ({100 * len(twins) / num_queries:.1f} %)"
    message = f"{share} have a near-duplicate that is searched or learned from"
    return [Problem("near-duplicate", message, tuple(f"{t.query} ~ {t.other} ({t.similarity:.3f})" for t in twins))]


def fine_structure(picture: Image.Image) -> NDArray[np.float32]:
    """Return float32 [768] of length 1 (of zeros for a picture without any structure)."""
    small = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    patches = small.reshape(SIDE // PATCH, PATCH, SIDE // PATCH, PATCH, 3)
    fine = (patches - patches.mean(axis=(1, 3), keepdims=True)).ravel()
    length = np.linalg.norm(fine)
    return np.asarray(fine / length if length > 0 else fine, np.float32)


def is_cifar10(root: Path) -> bool:
    """Say whether ``root`` is CIFAR-10: a compact ``.npz``, or the folder that holds ``cifar-10-batches-py``."""
    return root.suffix == ".npz" or (root / "cifar-10-batches-py").is_dir()


def pictures_below(root: Path) -> Callable[[str], Image.Image]:
    """Return name -> picture for a folder of files, or for CIFAR-10. Raises DatasetNotFound or DataError."""
    if not is_cifar10(root):
        from deephash.pictures import open_picture

        return lambda name: open_picture(root / name, reduced_to=SIDE)
    from deephash.data.cifar10 import Cifar10

    table = Cifar10(file=str(root)).table if root.suffix == ".npz" else Cifar10(root=str(root)).table
    row: dict[str, int] = {name: number for number, name in enumerate(table.names)}
    source: Callable[[int], Any] = table.sources["image"]

    def picture(name: str) -> Image.Image:
        if name not in row:
            raise UsageError(f"{root} is CIFAR-10 and has no item {name!r}; its items are train/00000 .. test/09999")
        image: Image.Image = source(row[name])
        return image

    return picture


def with_blanks(picture_of: Callable[[str], Image.Image], unreadable: list[str]) -> Callable[[str], Image.Image]:
    """Return ``picture_of`` that gives a blank, which resembles nothing, for what it cannot open, and notes why."""

    def opened(name: str) -> Image.Image:
        try:
            return picture_of(name)
        except UnreadablePicture as error:
            unreadable.append(str(error))
            return Image.new("RGB", (SIDE, SIDE))

    return opened


def _structures(names: Sequence[str], picture_of: Callable[[str], Image.Image]) -> NDArray[np.float32]:
    table = np.empty((len(names), SIDE * SIDE * 3), np.float32)
    for row, name in enumerate(track(names, f"reading {len(names):,} pictures", unit="picture")):
        table[row] = fine_structure(picture_of(name))
    return table
