"""Two pictures by their pixels alone: copies that were scaled, recompressed, recoloured, trimmed, framed or stamped.

A grey 32 x 32 miniature is cut into 16 blocks; the mean of each is taken off, so that brightness does not count, and
blocks of the same place are correlated. The likeness is the median over blocks that have any texture, so a stamp on a
third of the picture does not matter, and the best over trims of one of the two. Measured on 800 photographs
(docs/results/dedup.md): at 0.9 scaled, recompressed, recoloured and stamped copies are found without exception.
Mirrored and turned copies are not found.

Where 8 x 8 samples explain a picture (handwritten digits, icons, blurs), too little is left to correlate: different
digits agree at .98. Such pictures are copies where their greys are the same, as those without texture are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRIMS = (0.0, 0.02, 0.04, 0.06, 0.08)  # cut off at each edge, as a share of the side
SIDE, BLOCK = 32, 8
TEXTURE = 24.0  # norm of a block; 3 grey levels, root mean square
LEAST_BLOCKS = 4
FLAT = 2.0  # grey levels by which two pictures without texture, or with a coarse one, may differ
COARSE = 0.05  # share of the texture that 8 x 8 samples do not explain: digits have .02 at most, photographs from .12
Miniatures = NDArray[np.uint8]


def miniatures(picture: Image.Image) -> Miniatures:
    """Return grey miniatures uint8 [5, 32, 32] of the whole picture and of four trims of it."""
    grey, (width, height) = picture.convert("L"), picture.size
    boxes = [(width * trim, height * trim, width * (1 - trim), height * (1 - trim)) for trim in TRIMS]
    return np.stack([np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX, box)) for box in boxes])


def likeness(first: Miniatures, second: Miniatures) -> NDArray[np.float64]:
    """Return how alike pairs are, [P] in -1..1, from their :func:`miniatures` [P, 5, 32, 32] each."""
    whole, other = _blocks(first[:, :1]), _blocks(second[:, :1])
    flat = (_textured(whole) | _textured(other))[:, 0].sum(axis=1) < LEAST_BLOCKS
    flat |= _coarse(first[:, 0]) | _coarse(second[:, 0])
    apart = np.abs(first[:, 0].astype(np.float32) - second[:, 0]).mean(axis=(1, 2))
    alike = np.where(apart <= FLAT, 1.0, 0.0)
    able = np.flatnonzero(~flat)  # only they are correlated, which is nearly all the work
    alike[able] = _best(_blocks(first[able]), _blocks(second[able]))
    return alike


def _best(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the best agreement [P] over trims of one of the two."""
    whole = [_agreement(one[:, :1], other), _agreement(one, other[:, :1])]
    best: NDArray[np.float64] = np.concatenate(whole, axis=1).max(axis=1)
    return best


def _blocks(pictures: Miniatures) -> NDArray[np.float32]:
    """Return blocks without their means, [P, T, 16, 64]."""
    count, trims = pictures.shape[:2]
    parts = pictures.reshape(count, trims, SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).astype(np.float32)
    blocks = parts.swapaxes(3, 4).reshape(count, trims, (SIDE // BLOCK) ** 2, BLOCK * BLOCK)
    return np.asarray(blocks - blocks.mean(axis=3, keepdims=True))


def _textured(blocks: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(blocks, axis=3) > TEXTURE)


def _coarse(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of pictures [P, 32, 32] whether 8 x 8 samples explain them, as steps or as a smooth surface."""
    exact = pictures.astype(np.float32)
    blocks = exact.reshape(len(exact), SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK)
    texture = (blocks - blocks.mean(axis=(2, 4), keepdims=True)).reshape(len(exact), SIDE * SIDE)
    missed = [
        np.square(exact - span @ exact @ span).sum(axis=(1, 2))
        for span in map(_span, (Image.Resampling.NEAREST, Image.Resampling.BICUBIC))
    ]
    return np.asarray(np.minimum(*missed) < COARSE * np.square(texture).sum(axis=1))


@cache
def _span(way: Image.Resampling) -> NDArray[np.float32]:
    """Return the projection [32, 32] on rows of 8 samples that were enlarged."""
    unit = Image.fromarray(np.eye(8, dtype=np.float32))
    enlarged = np.asarray(unit.resize((8, SIDE), way), dtype=np.float64)
    return (enlarged @ np.linalg.pinv(enlarged)).astype(np.float32)


def _agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median correlation of textured blocks, [P, T]; of all blocks by weight where few have texture."""
    norms = np.linalg.norm(one, axis=3) * np.linalg.norm(other, axis=3)
    correlation = (one * other).sum(axis=3) / np.maximum(norms, 1e-6)
    both = _textured(one) & _textured(other)
    weighed = (correlation * np.sqrt(norms)).sum(axis=2) / np.maximum(np.sqrt(norms).sum(axis=2), 1e-6)
    enough = both.sum(axis=2) >= LEAST_BLOCKS
    ordered = np.sort(np.where(both, correlation, np.inf), axis=2)  # several times faster than nanmedian
    middle = np.maximum(both.sum(axis=2)[..., None] - 1, 0)
    both_ends = np.concatenate([middle // 2, (middle + 1) // 2], axis=2)
    median = np.take_along_axis(ordered, both_ends, axis=2).mean(axis=2)
    return np.asarray(np.where(enough, median, weighed))
