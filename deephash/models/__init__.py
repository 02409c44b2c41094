"""Floor 4: hash models, one file a method."""

from deephash.models.base import AlternatingHashModel, HashModel, ObjectiveHashModel, Optimizer
from deephash.models.itq import ITQ
from deephash.models.lsh import LSH
from deephash.models.orthohash import OrthoHash
from deephash.models.pca_sign import PCASign
from deephash.models.storage import load_model

__all__ = [
    "ITQ",
    "LSH",
    "AlternatingHashModel",
    "HashModel",
    "ObjectiveHashModel",
    "Optimizer",
    "OrthoHash",
    "PCASign",
    "load_model",
]
