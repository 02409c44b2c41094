"""Floor 0: binary codes and the distances between them. NumPy only."""

from deephash.codes.binary import BinaryCodes
from deephash.codes.distance import distance_blocks, hamming_distance
from deephash.codes.layout import CodeLayout

__all__ = ["BinaryCodes", "CodeLayout", "distance_blocks", "hamming_distance"]
