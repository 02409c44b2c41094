"""Floor 0: binary codes and the distances between them. NumPy only."""

from deephash.codes.binary import BinaryCodes
from deephash.codes.distance import distance_blocks, hamming_distance

__all__ = ["BinaryCodes", "distance_blocks", "hamming_distance"]
