"""Picture files as smoothed codes: the deployed form of what is certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deephash.attacks.smoothing import smoothed_codes
from deephash.attacks.victims import frame_of, victim_of
from deephash.codes import BinaryCodes
from deephash.errors import UnreadablePicture
from deephash.models import HashModel
from deephash.pictures import open_picture
from deephash.progress import track


@dataclass(frozen=True, eq=False)
class SmoothedFiles:
    """Smoothed codes of the files that could be read.

    Attributes:
        codes: n majority codes.
        unknown: booleans [n, K], bits without a confident majority.
        rows: which of the files, [n].
        skipped: (row, reason) of the others.
    """

    codes: BinaryCodes
    unknown: NDArray[np.bool_]
    rows: list[int]
    skipped: list[tuple[int, str]]


def encode_smoothed(
    model: HashModel, files: Sequence[Path], sigma: float, *, draws: int = 100, seed: int = 0, batch_size: int = 256
) -> SmoothedFiles:
    """Return smoothed codes of picture files; every file is met by the same noise, so its code is its own.

    Args:
        model: reads pictures.
        files: to encode.
        sigma: of the noise, a share of the pixel range.
        draws: noisy copies of each picture that say which bits are known; as many more choose the bits.
        seed: of the noise.
        batch_size: noisy copies in one pass.

    Raises:
        UsageError: a model that reads no pictures, a sigma out of range.
    """
    victim, cut, side = victim_of(model), frame_of(model).cut, model.picture_side()
    bits, unknown, rows, skipped = [], [], [], []
    for row, file in enumerate(track(files, "encoding under noise", total=len(files), unit="picture")):
        try:
            image = torch.from_numpy(np.asarray(cut(open_picture(file, reduced_to=side))))[None]
        except (UnreadablePicture, OSError) as error:
            skipped.append((row, str(error)))
            continue
        found = smoothed_codes(
            victim, image, sigma, draws=draws, choosing=draws, items=[0], seed=seed, batch_size=batch_size
        )
        bits.append(found.bits[0])
        unknown.append(found.unknown()[0])
        rows.append(row)
    none = np.zeros((0, model.num_bits), dtype=bool)
    table, known = (np.stack(each) if each else none for each in (bits, unknown))
    return SmoothedFiles(BinaryCodes.from_bits(table), known, rows, skipped)
