"""ITQ, PCASign, LSH and HashingBaseline as scikit-learn transformers.

They fit the models of :mod:`deephash.models` on a table of features, in float64, and binarise by their ``bits()``:
nothing is written a second time. torch is imported when one is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from deephash.errors import UsageError

if TYPE_CHECKING:
    from deephash.codes import BinaryCodes
    from deephash.models import AlternatingHashModel

Output = Literal["bits", "packed", "continuous"]
RandomState = int | np.random.RandomState | None
MOST_BITS = 64  # where nothing is asked


class _HashTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Fits a closed-form model of :mod:`deephash.models` on features [N, D].

    Attributes:
        model_: the fitted model, in float64; ``model_.float().save(folder)`` keeps it without a pickle.
        num_bits_: K.
        n_iter_: sweeps that fitting took.
        n_features_in_: D.
    """

    _method: ClassVar[str]
    num_bits: int | None
    output: Output

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to features [N, D].

        Raises:
            ValueError: fewer than two rows, NaN or infinity, or more bits than the features can give.
        """
        if self.output not in ("bits", "packed", "continuous"):
            raise UsageError(f"output is bits, packed or continuous, not {self.output!r}")
        table = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        import torch

        from deephash.backbones import Backbone
        from deephash.models import method_named

        method: Any = method_named(self._method)
        most = min(MOST_BITS, method.most_bits(*table.shape))
        self.num_bits_ = most if self.num_bits is None else self.num_bits
        backbone = Backbone(f"features:{table.shape[1]}", weights=None)
        model = method(self.num_bits_, backbone, **self._options()).double()
        self.model_: AlternatingHashModel = self._fitted(model, torch.tensor(table))
        self.n_iter_ = len(self.model_.objectives)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return bits uint8 [N, K], packed codes uint8 [N, ceil(K / 8)], or continuous codes float64 [N, K]."""
        if self.output == "continuous":
            import torch

            with torch.inference_mode():
                continuous: NDArray[np.float64] = self.model_.eval()(self._inputs(X)).numpy().copy()
            return continuous
        codes = self.encode(X)
        return codes.packed.copy() if self.output == "packed" else codes.bits().astype(np.uint8)

    def encode(self, X: ArrayLike) -> BinaryCodes:
        """Return :class:`deephash.BinaryCodes` of features [N, D], for indexes and evaluations of deephash."""
        inputs = self._inputs(X)
        return self.model_.encode(inputs)

    def _inputs(self, X: ArrayLike) -> dict[str, Any]:
        check_is_fitted(self, "model_")
        import torch

        return {"image_features": torch.tensor(validate_data(self, X, dtype=np.float64, reset=False))}

    def _options(self) -> dict[str, Any]:
        return {}

    def _fitted(self, model: AlternatingHashModel, table: Any) -> AlternatingHashModel:
        return model.fit(table).eval()

    @property
    def _n_features_out(self) -> int:
        return -(-self.num_bits_ // 8) if self.output == "packed" else self.num_bits_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # bits are uint8, whatever the features are
        return tags


class PCASign(_HashTransformer):
    """Signs of the projections on the leading principal axes (:class:`deephash.models.PCASign`).

    Args:
        num_bits: K <= min(D, N - 1); None takes as many as there can be, up to 64.
        output: ``bits`` (uint8, 0 or 1, a column a bit), ``packed`` (uint8, 8 bits a byte) or ``continuous`` (before
            the sign).
    """

    _method = "PCASign"

    def __init__(self, num_bits: int | None = None, *, output: Output = "bits") -> None:
        self.num_bits = num_bits
        self.output = output


class _Drawn(_HashTransformer):
    random_state: RandomState

    def _options(self) -> dict[str, Any]:
        given = self.random_state
        is_seed = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        return {"seed": int(given) if is_seed else int(check_random_state(given).randint(2**31 - 1))}  # type: ignore[arg-type]


class ITQ(_Drawn):
    """Principal axes and a learned rotation (:class:`deephash.models.ITQ`; Gong and Lazebnik, CVPR 2011).

    Args:
        num_bits: K <= min(D, N - 1); None takes as many as there can be, up to 64.
        max_iter: sweeps at most.
        tol: stop where the objective falls by less than this, relative.
        output: see :class:`PCASign`.
        random_state: of the first rotation; a whole number is the ``seed`` of the model.
    """

    _method = "ITQ"

    def __init__(
        self,
        num_bits: int | None = None,
        *,
        max_iter: int = 50,
        tol: float = 1e-5,
        output: Output = "bits",
        random_state: RandomState = 0,
    ) -> None:
        self.num_bits = num_bits
        self.max_iter = max_iter
        self.tol = tol
        self.output = output
        self.random_state = random_state

    def _fitted(self, model: AlternatingHashModel, table: Any) -> AlternatingHashModel:
        if self.max_iter < 1:
            raise UsageError(f"max_iter is at least 1, not {self.max_iter}")
        return model.fit(table, max_sweeps=self.max_iter, tolerance=self.tol).eval()


class HashingBaseline(_Drawn):
    """Principal axes and a random rotation (:class:`deephash.models.HashingBaseline`; Moummad et al. 2025).

    Args:
        num_bits: K <= min(D, N - 1); None takes as many as there can be, up to 64.
        output: see :class:`PCASign`.
        random_state: of the rotation; a whole number is the ``seed`` of the model.
    """

    _method = "HashingBaseline"

    def __init__(self, num_bits: int | None = None, *, output: Output = "bits", random_state: RandomState = 0) -> None:
        self.num_bits = num_bits
        self.output = output
        self.random_state = random_state


class LSH(_Drawn):
    """Signs of random projections (:class:`deephash.models.LSH`; Charikar 2002).

    Args:
        num_bits: K, any; None takes 64.
        centre: subtract the mean of the training features first.
        output: see :class:`PCASign`.
        random_state: of the projections; a whole number is the ``seed`` of the model.
    """

    _method = "LSH"

    def __init__(
        self,
        num_bits: int | None = None,
        *,
        centre: bool = True,
        output: Output = "bits",
        random_state: RandomState = 0,
    ) -> None:
        self.num_bits = num_bits
        self.centre = centre
        self.output = output
        self.random_state = random_state

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"centre": self.centre}
