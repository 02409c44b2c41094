"""Floor 4: hash models, one file a method."""

from deephash.models.base import AlternatingHashModel, HashModel, ObjectiveHashModel, Optimizer
from deephash.models.storage import load_model

__all__ = ["AlternatingHashModel", "HashModel", "ObjectiveHashModel", "Optimizer", "load_model"]
