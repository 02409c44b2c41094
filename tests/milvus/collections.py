"""A collection of codes whose attributes are of every kind, some missing, some hostile."""

from datetime import datetime
from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection

LABELS = ("cat", "dog", 'quo"te', "back\\slash", "it's", "日本", "", 'x" or id >= 0 or at_label == "', None)


def attributes(number: int, random: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for _ in range(number):
        row = {
            "label": LABELS[random.integers(len(LABELS))],
            "year": int(random.integers(-5, 2030)) if random.random() < 0.8 else None,
            "weight": float(random.normal()) * 10 ** int(random.integers(-8, 9)) if random.random() < 0.8 else None,
            "seen": bool(random.random() < 0.5) if random.random() < 0.8 else None,
            "taken": datetime(2000 + int(random.integers(24)), 1, 2, 3, 4, 5, 6) if random.random() < 0.8 else None,
        }
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def random_collection(path: Path, number: int = 300, num_bits: int = 20, seed: int = 0) -> Collection:
    random = np.random.default_rng(seed)
    made = Collection.create(path, num_bits=num_bits)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (number, num_bits)))
    uris = [f"{row % 7}/{row}.png" for row in range(number)]
    made.append(uris=uris, codes=codes, attributes=attributes(number, random))
    return made
