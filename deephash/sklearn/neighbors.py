"""Exact Hamming neighbours as scikit-learn estimators, in the order (distance, row)."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index import open_index

Codes = Literal["bits", "packed"]
Rows = NDArray[np.int64]
Distances = NDArray[np.int32]


class _Neighbors(BaseEstimator):
    """Codes that were fitted, and an index over them that finds the nearest exactly."""

    def __init__(self, n_neighbors: int = 5, *, radius: int = 2, codes: Codes = "bits", threshold: float = 0.5) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.codes = codes
        self.threshold = threshold

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> Any:
        """Return (distances int32 [Q, k], rows int64 [Q, k]) of the nearest codes, or the rows alone.

        Args:
            X: codes that ask; None lets each fitted code ask for its neighbours, without itself.
            n_neighbors: k; None takes the estimator's.
            return_distance: False returns the rows alone.

        Raises:
            ValueError: more neighbours than there are codes.
        """
        check_is_fitted(self, "codes_")
        count = self.n_neighbors if n_neighbors is None else n_neighbors
        most = len(self.codes_) - (X is None)
        if not 1 <= count <= most:
            raise UsageError(f"n_neighbors lies between 1 and n_samples_fit = {most}, not {count}")
        found = self._index.search(self._asked(X), count + (X is None))
        distances, rows = found.distances, found.ids
        if X is None:
            distances, rows = _without_self(distances, rows)
        return (distances, rows) if return_distance else rows

    def radius_neighbors(
        self,
        X: ArrayLike | None = None,
        radius: int | None = None,
        return_distance: bool = True,
        sort_results: bool = True,
    ) -> Any:
        """Return (distances, rows), object arrays [Q] of arrays: all codes within the radius, its rim included.

        Args:
            X: codes that ask; None lets each fitted code ask, without itself.
            radius: in bits; None takes the estimator's.
            return_distance: False returns the rows alone.
            sort_results: accepted as scikit-learn has it; the answers are always in the order (distance, row).
        """
        check_is_fitted(self, "codes_")
        found = self._index.search_radius(self._asked(X), int(self.radius if radius is None else radius))
        distances, rows = np.empty(len(found), object), np.empty(len(found), object)
        for asked, each in enumerate(found):
            others = each.ids != asked if X is None else slice(None)
            distances[asked], rows[asked] = each.distances[others], each.ids[others]
        return (distances, rows) if return_distance else rows

    def _take(self, X: Any) -> None:
        self.codes_ = self._as_codes(X)
        self._index = open_index("scan", np.arange(len(self.codes_)), self.codes_)

    def _asked(self, X: ArrayLike | None) -> BinaryCodes:
        return self.codes_ if X is None else self._as_codes(validate_data(self, X, reset=False))

    def _as_codes(self, X: Any) -> BinaryCodes:
        if self.codes == "bits":
            return BinaryCodes.from_continuous(X, self.threshold)
        if self.codes != "packed":
            raise UsageError(f"codes is bits or packed, not {self.codes!r}")
        packed = np.asarray(X)
        if packed.dtype.kind not in "uif" or ((packed < 0) | (packed > 255) | (packed != np.floor(packed))).any():
            raise UsageError("packed codes are whole numbers from 0 to 255, 8 bits each; give codes='bits' for bits")
        return BinaryCodes(np.ascontiguousarray(packed.astype(np.uint8)), 8 * packed.shape[1])

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_index"}  # it is built again

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "codes_"):
            self._index = open_index("scan", np.arange(len(self.codes_)), self.codes_)


class HammingNeighbors(_Neighbors):
    """Exact nearest neighbours by Hamming distance, for codes without labels.

    Args:
        n_neighbors: k of :meth:`kneighbors`.
        radius: of :meth:`radius_neighbors`, in bits, rim included.
        codes: ``bits`` (a column a bit) or ``packed`` (a column of 8 bits, as the transformers' ``output="packed"``).
        threshold: a bit is 1 where its value is at least this: 0.5 reads 0 and 1, 0 reads signs.

    Attributes:
        codes_: :class:`deephash.BinaryCodes` that were fitted.
    """

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take codes [N, columns]."""
        self._take(validate_data(self, X))
        return self


class HammingNeighborsClassifier(ClassifierMixin, _Neighbors):
    """Vote of the exact nearest neighbours by Hamming distance; of classes with as many votes the first one wins.

    Args:
        n_neighbors: how many vote; see :class:`HammingNeighbors` for it and the others.
        radius: of :meth:`radius_neighbors`, in bits.
        codes: ``bits`` or ``packed``.
        threshold: a bit is 1 where its value is at least this.

    Attributes:
        classes_: the labels, sorted.
        codes_: :class:`deephash.BinaryCodes` that were fitted.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take codes [N, columns] and a label each."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, self._numbers = np.unique(y, return_inverse=True)
        self._take(X)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the shares of the votes, float64 [Q, C]."""
        rows = self.kneighbors(X, return_distance=False)
        votes = np.zeros((len(rows), len(self.classes_)))
        np.add.at(votes, (np.arange(len(rows))[:, None], self._numbers[rows]), 1)
        shares: NDArray[np.float64] = votes / rows.shape[1]
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the label with the most votes for each code, [Q]."""
        votes = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[votes.argmax(axis=1)]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # on features that are no bits, as the checks have them
        return tags


def _without_self(distances: Distances, rows: Rows) -> tuple[Distances, Rows]:
    """Take each asking row out of its own answer [Q, k + 1]; where k + 1 equal codes come before it, the last one."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), rows.shape[1] - 1)
    return distances[~own].reshape(shape), rows[~own].reshape(shape)
