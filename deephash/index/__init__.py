"""Floor 1: nearest neighbours among binary codes. NumPy and one engine, imported when an index is opened."""

from deephash.index.base import CodeIndex, Neighbors
from deephash.index.engines import KINDS
from deephash.index.ids import AscendingIds
from deephash.index.opening import open_index

__all__ = ["KINDS", "AscendingIds", "CodeIndex", "Neighbors", "open_index"]
