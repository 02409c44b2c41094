"""By which words a model was fitted: said again, they fit nothing again; other weights do."""

from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.ingest.origin import is_fitted_for, note_origin


def test_the_same_words_are_known_again_and_other_weights_are_not(tmp_path: Path) -> None:
    codes = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (4, 16)))
    Collection.create(tmp_path / "x.dh", num_bits=16).append(uris=list("abcd"), codes=codes)
    for name, size in (("one", 10), ("other", 11)):
        (tmp_path / name).write_bytes(bytes(size))
    note_origin(tmp_path / "x.dh", "itq:timm:resnet18", tmp_path / "one")
    known = {
        (bits, name): is_fitted_for(tmp_path / "x.dh", "itq:timm:resnet18", bits, name and tmp_path / name)
        for bits in (None, 16, 32)
        for name in (None, "one", "other", "absent")
    }
    assert {pair for pair, same in known.items() if same} == {
        (bits, name) for bits in (None, 16) for name in (None, "one")
    }
    assert not is_fitted_for(tmp_path / "x.dh", "itq:timm:resnet50", None)
    assert not is_fitted_for(tmp_path / "nowhere.dh", "itq:timm:resnet18", None)
