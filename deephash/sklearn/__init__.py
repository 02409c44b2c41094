"""deephash in scikit-learn's words: hash methods as transformers, exact Hamming neighbours as estimators.

>>> from sklearn.pipeline import make_pipeline
>>> from deephash.sklearn import ITQ, HammingNeighborsClassifier
>>> make_pipeline(ITQ(num_bits=32), HammingNeighborsClassifier(n_neighbors=5))  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from deephash.lazily import lazily

if TYPE_CHECKING:
    from deephash.sklearn.neighbors import HammingNeighbors as HammingNeighbors
    from deephash.sklearn.neighbors import HammingNeighborsClassifier as HammingNeighborsClassifier
    from deephash.sklearn.transformers import ITQ as ITQ
    from deephash.sklearn.transformers import LSH as LSH
    from deephash.sklearn.transformers import HashingBaseline as HashingBaseline
    from deephash.sklearn.transformers import PCASign as PCASign

_HOME = {
    "HammingNeighbors": "neighbors",
    "HammingNeighborsClassifier": "neighbors",
    "HashingBaseline": "transformers",
    "ITQ": "transformers",
    "LSH": "transformers",
    "PCASign": "transformers",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)
