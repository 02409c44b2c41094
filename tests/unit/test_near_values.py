"""What is said where nothing passes a filter."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.near_values import near_values


@pytest.fixture
def collection(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    labels = ["animals", "animals", "Plants", "plants", None, "buildings"]
    codes = BinaryCodes.from_bits(np.zeros((6, 8), dtype=np.uint8))
    attributes = [{"label": name, "title": f"title {row}", "size": row} for row, name in enumerate(labels)]
    made.append(uris=[f"{row}.png" for row in range(6)], codes=codes, attributes=attributes)
    return made


@pytest.mark.parametrize(("where", "said"), [
    ("label = animal", ["no label is 'animal'; did you mean 'animals'?"]),
    ("label = PLANTS", ["no label is 'PLANTS'; did you mean 'Plants' or 'plants'?"]),
    ("label = zebra", ["no label is 'zebra'; there are 'animals', 'Plants', 'plants', 'buildings'"]),
    ("label = animals", []),
    ("label in (animals, bilding) and size > 3", ["no label is 'bilding'; did you mean 'buildings'?"]),
    ("label = animal or label = plant", ["no label is 'animal'; did you mean 'animals'?",
                                         "no label is 'plant'; did you mean 'Plants' or 'plants'?"]),
    ("not label = animal", []),
    ("size = 99", []),
    ("title = unheard", ["no title is 'unheard'"]),
    ("folder = x", ["no item has a folder"]),
])  # fmt: skip
def test_near_values_are_named(collection, where, said):
    assert near_values(collection, where) == said
