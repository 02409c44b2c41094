"""kill -9 while a model is published or old rows are encoded anew: the collection opens, holds no half row, goes on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.models import load_model
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from tests.e2e.test_kill_collection import unfinished
from tests.e2e.victims import Victims


@pytest.fixture
def path(tmp_path: Path) -> Path:
    from deephash.ingest import index_folder

    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number:02}.png")
    index_folder(folder, tmp_path / "x.dh", tiny_model(seed=0))
    return tmp_path / "x.dh"


def every_row_has_the_code_of_its_model(collection: Collection, known: dict[str, BinaryCodes]) -> set[int]:
    """Check all rows; return the versions of models that have any."""
    collection.check()
    items = {item.id: item for item in collection.items(collection.ids())}
    assert len(items) == 48
    held: dict[int, BinaryCodes] = {}
    for space in collection.spaces:
        ids, codes = collection.codes(space.column)
        for row, item in enumerate(ids.tolist()):
            assert item not in held, "a row has codes of two models"
            held[item] = codes[row : row + 1]
    assert held.keys() == items.keys(), "a row has no code"
    for version in collection.model_versions:
        if version.fingerprint not in known:
            model = load_model(collection.path_of_model(version.fingerprint))
            known[version.fingerprint] = model.encode_images([collection.root / f"{row:02}.png" for row in range(48)])
    prints = {version.number: version.fingerprint for version in collection.model_versions}
    for item in items.values():
        right = known[prints[item.model_version]]
        assert held[item.id] == right[int(item.uri[:2]) : int(item.uri[:2]) + 1], item.uri
    return {item.model_version for item in items.values()}


def upgrade_and_kill(victims: Victims, path: Path, moments: int) -> tuple[int, int]:
    """Kill ``moments`` upgrades of one collection; return the models it has, and how many kills left it between two."""
    from deephash.upgrades.reencode import re_encode

    rng, between = random.Random(0), 0
    known: dict[str, BinaryCodes] = {}
    for moment in range(moments):
        said = victims.killed(["upgrade", str(path), str(1000 * (moment + 1))], rng)
        collection = Collection.open(path)
        published = [record["version"] for record in said if record.get("done") == "publish"]
        assert collection.current.number >= max(published, default=1), "a model that was published is gone"
        between += len(every_row_has_the_code_of_its_model(collection, known)) > 1
        hits = Searcher.open(path, index="scan").by_id(7, k=3)
        assert hits[0].id == 7
    last = Collection.open(path)
    re_encode(path)
    after = Collection.open(path)
    assert every_row_has_the_code_of_its_model(after, known) == {last.current.number}
    after.note("last", "write")
    assert unfinished(path) == []
    return last.current.number, between


def test_an_upgrade_that_is_killed_leaves_whole_rows_and_goes_on(path: Path, victims: Victims) -> None:
    models, _ = upgrade_and_kill(victims, path, 4)
    assert models >= 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_kills_of_upgrades(path: Path, victims: Victims) -> None:
    models, between = upgrade_and_kill(victims, path, 40)
    print(f"40 kills of upgrades to {models} models, {between} between two of them")
    assert between > 3
