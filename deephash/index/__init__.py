"""Floor 1: nearest neighbours among binary codes. NumPy and one engine, imported when an index is opened."""

from deephash.index.base import KINDS, CodeIndex, Neighbors, open_index
from deephash.index.row_filter import AscendingIds

__all__ = ["KINDS", "AscendingIds", "CodeIndex", "Neighbors", "open_index"]
