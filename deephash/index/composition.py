"""Composed queries: a picture changed by words, with sliders, on vectors or on continuous codes. NumPy only.

Tursun, Kalkan, Denman, Fookes, Prompt Directional Vectors, arXiv 2502.07215 (WACV 2026). Three vectors a query: v of
the picture, t0 of the text without the prompt, t1 of the text with it. With D = t1 - t0 (not normalised):

    phi = (1 - beta) (v + alpha_image D) + beta (t0 + alpha_text D)

Weights of v, t0 and t1 sum to one, so the formula may be applied after any affine map: three K-vectors v, t0, t1 out of
a linear hash head are enough, its bias counts once, and moving a slider costs K additions and one search, no encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ComposedQuery:
    """A picture, a text without the prompt and the text with it, as vectors or continuous codes of one length.

    Attributes:
        picture: v, [K].
        plain: t0, [K]: caption of the picture, or the neutral phrase of the text tower.
        worded: t1, [K]: the same text with the prompt.
    """

    picture: Vector
    plain: Vector
    worded: Vector

    def __post_init__(self) -> None:
        for name in ("picture", "plain", "worded"):  # float64: the direction is a small difference
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shapes = {self.picture.shape, self.plain.shape, self.worded.shape}
        if len(shapes) != 1 or self.picture.ndim != 1:
            raise UsageError(f"picture, plain and worded are vectors of one length, not of shapes {sorted(shapes)}")

    def at(self, *, alpha_text: float = 1.0, alpha_image: float = 1.0, beta: float = 1.0) -> Vector:
        """Return phi [K] for a position of the sliders.

        Args:
            alpha_text: how far the text moves along the words; 1 is the plain composed text, 0 drops the prompt.
            alpha_image: how far the picture moves along the words; negative removes what they say.
            beta: 0 is the picture side, 1 the text side.
        """
        along = (1 - beta) * alpha_image + beta * alpha_text
        return (1 - beta) * self.picture + beta * self.plain + along * (self.worded - self.plain)

    def code(self, *, alpha_text: float = 1.0, alpha_image: float = 1.0, beta: float = 1.0) -> BinaryCodes:
        """Return the one code of :meth:`at`."""
        return BinaryCodes.from_continuous(self.at(alpha_text=alpha_text, alpha_image=alpha_image, beta=beta)[None])

    def nearest_alpha_image(self, alpha_text: float = 1.0) -> float:
        """Return the alpha_image that brings the picture's side nearest to the text's side; 0 for an empty prompt."""
        direction = self.worded - self.plain
        length = float(direction @ direction)
        if length < 1e-12:
            return 0.0
        return float(direction @ (self.plain + alpha_text * direction - self.picture)) / length


def add_words(
    base: ArrayLike,
    neutral: ArrayLike,
    plus: Sequence[ArrayLike] = (),
    minus: Sequence[ArrayLike] = (),
    *,
    strength: float = 1.0,
) -> Vector:
    """Return ``base`` moved towards each vector of ``plus`` and away from each of ``minus``, [K].

    Args:
        base: picture, text or composed query.
        neutral: the text tower's output for a phrase that says nothing; words act by their difference to it.
        plus: outputs for words to add.
        minus: outputs for words to take away.
        strength: how far to move.
    """
    zero = np.asarray(neutral, dtype=np.float64)
    moved = np.array(base, dtype=np.float64)
    for sign, words in ((strength, plus), (-strength, minus)):
        for word in words:
            moved = moved + sign * (np.asarray(word, dtype=np.float64) - zero)
    return moved


def asymmetric_distances(queries: ArrayLike, gallery: BinaryCodes) -> NDArray[np.float64]:
    """Return -query · b for real ``queries`` [Q, K] and ±1 codes b, shape [Q, N]; smaller is nearer.

    The slider stays continuous under it, while Hamming distances move in steps. For queries of ±1 it is 2 d - K. Sums
    are looked up byte by byte, so the gallery is never unpacked.
    """
    values = np.atleast_2d(np.asarray(queries, dtype=np.float64))
    if values.shape[1] != gallery.num_bits or gallery.num_levels != 1:
        raise UsageError(f"queries of {values.shape[1]} values cannot be compared with {gallery.describe()}")
    num_bytes = gallery.packed.shape[1]
    padded = np.zeros((len(values), 8 * num_bytes))
    padded[:, : gallery.num_bits] = values
    patterns = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1.0  # [256, 8]
    distances = np.zeros((len(values), len(gallery)))
    for byte in range(num_bytes):
        table = padded[:, 8 * byte : 8 * byte + 8] @ patterns.T  # [Q, 256]
        distances -= table[:, gallery.packed[:, byte]]
    return distances
