"""Floor 4: hash models, one file a method."""

from deephash.models.base import AlternatingHashModel, HashModel, ObjectiveHashModel, Optimizer

__all__ = ["AlternatingHashModel", "HashModel", "ObjectiveHashModel", "Optimizer"]
