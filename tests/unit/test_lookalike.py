"""Likeness by pixels: each pair by itself gives what it gives among others."""

import numpy as np
from PIL import Image

from deephash.pictures.lookalike import likeness, miniatures


def seen(seed: int, fine: bool) -> np.ndarray:
    """Return the miniatures of a fine pattern, or of 8 x 8 samples made large, of which nothing can be correlated."""
    side = 64 if fine else 8
    grey = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    return miniatures(Image.fromarray(grey).resize((256, 256), Image.Resampling.BICUBIC))


def test_pairs_do_not_depend_on_the_others_of_their_batch():
    pictures = [seen(seed, fine) for fine in (True, False) for seed in (0, 1, 2)]
    rows, columns = np.triu_indices(len(pictures))
    first, second = (np.stack([pictures[each] for each in side]) for side in (rows, columns))
    together = likeness(first, second)
    alone = [float(likeness(first[[pair]], second[[pair]])[0]) for pair in range(len(rows))]
    assert together.tolist() == alone
    assert (together[rows == columns] > 0.999).all()
    assert (together[rows != columns] < 0.9).all()


def test_a_batch_of_which_nothing_can_be_correlated():
    coarse = np.stack([seen(seed, fine=False) for seed in (0, 1)])
    assert likeness(coarse, coarse[::-1]).tolist() == [0.0, 0.0]
    assert likeness(coarse, coarse).tolist() == [1.0, 1.0]
    assert likeness(coarse[:0], coarse[:0]).shape == (0,)
