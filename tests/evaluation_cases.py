"""Small code sets that several evaluation tests share."""

import numpy as np

from deephash.codes import BinaryCodes


def clustered(num_queries=40, num_items=300, num_bits=24, num_classes=5, noise=0.2, seed=0):
    """Return (query codes, database codes, query labels, database labels): noisy copies of one centre a class."""
    draw = np.random.default_rng(seed)
    centres = draw.integers(0, 2, (num_classes, num_bits))
    sides = []
    for count in (num_queries, num_items):
        labels = draw.integers(0, num_classes, count)
        sides.append((BinaryCodes.from_bits(centres[labels] ^ (draw.random((count, num_bits)) < noise)), labels))
    (query, query_labels), (database, database_labels) = sides
    return query, database, query_labels, database_labels


def multi_hot(count, num_classes=6, seed=0):
    """Return random label sets [count, num_classes], none of them empty."""
    draw = np.random.default_rng(seed)
    labels = (draw.random((count, num_classes)) < 0.3).astype(np.uint8)
    labels[np.arange(count), draw.integers(0, num_classes, count)] = 1
    return labels
