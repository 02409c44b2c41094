"""kill -9 at random moments: the collection opens, holds every acknowledged row, and no half row."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.e2e.collection_child import BATCH, BITS, code_of, tiny_model
from tests.e2e.victims import Victims


def change_and_kill(victims: Victims, path: Path, moments: int) -> int:
    """Kill ``moments`` writers of one collection; return how many acknowledged changes were checked."""
    rng = random.Random(0)
    Collection.create(path, num_bits=BITS)
    rows: dict[int, str] = {}
    scores: dict[int, float] = {}
    checked = 0
    for seed in range(moments):
        said = victims.killed(["change", str(path), str(seed)], rng)
        for record in said:
            if record.get("done") == "append":
                rows |= dict(zip(record["ids"], record["uris"]))
                scores |= dict.fromkeys(record["ids"], 0.0)
            elif record.get("done") == "remove":
                for number in record["ids"]:
                    rows.pop(number), scores.pop(number)
            elif record.get("done") == "update":
                scores |= dict.fromkeys(record["ids"], record["value"])
        checked += sum("done" in record for record in said)
        pending = said[-1] if said and "doing" in said[-1] else {}
        compare(Collection.open(path), rows, scores, pending)
    Collection.open(path).note("last", "write")
    assert unfinished(path) == [], "the next write sweeps what killed ones left behind"
    compare(Collection.open(path), rows, scores, {})
    return checked


def unfinished(path: Path) -> list[str]:
    """Return the temporary files in a collection."""
    return [file.name for file in path.rglob("*") if file.name.startswith(".") or "#" in file.name]


def compare(collection: Collection, rows: dict[int, str], scores: dict[int, float], pending: dict) -> None:
    """Check a collection against what was acknowledged, and take the one open change into the books."""
    collection.check()
    items = {item.id: item for item in collection.items(collection.ids())}
    lost = set(rows) - set(items)
    if lost:  # a removal that was committed and not yet acknowledged: all or nothing
        assert pending.get("doing") == "remove"
        assert lost == set(pending["ids"])
        for number in lost:
            rows.pop(number), scores.pop(number)
    extra = set(items) - set(rows)
    assert len(extra) in (0, BATCH), "half an append is there"
    for number in extra:
        rows[number], scores[number] = items[number].uri, 0.0
    ids, codes = collection.codes()
    bits = codes.bits()
    open_update = set(pending["ids"]) if pending.get("doing") == "update" else set()
    changed = {number for number in items if items[number].attributes["score"] != scores[number]}
    assert changed in (set(), open_update) or (
        changed <= open_update and len({items[number].attributes["score"] for number in open_update}) == 1
    )
    for number in changed:
        scores[number] = items[number].attributes["score"]
    for row, number in enumerate(ids.tolist()):
        assert items[number].uri == rows[number] == items[number].attributes["label"]
        assert (bits[row] == code_of(rows[number])).all()


def index_and_kill(victims: Victims, folder: Path, path: Path, moments: int) -> int:
    """Kill ``moments`` indexing processes; return how many left a collection with part of the pictures."""
    from deephash.ingest import index_folder

    rng, model, partial = random.Random(1), tiny_model(), 0
    names = sorted(file.name for file in folder.iterdir())
    expected = dict(zip(names, model.encode_images([folder / name for name in names])))
    for _ in range(moments):
        victims.killed(["index", str(folder), str(path)], rng)
        shutil.rmtree(path.with_name("finished"), ignore_errors=True)
        if path.exists():
            collection = Collection.open(path)
            partial += 0 < len(collection) < len(names)
            holds_right_codes(collection, expected)
        report = index_folder(folder, path, model)
        collection = Collection.open(path)
        assert len(collection) == len(names), report
        holds_right_codes(collection, expected)
        shutil.rmtree(path)
    return partial


def holds_right_codes(collection: Collection, expected: dict[str, BinaryCodes]) -> None:
    ids, codes = collection.codes()
    for item, code in zip(collection.items(ids), codes):
        assert code == expected[item.uri]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number:02}.png")
    return folder


def test_nothing_is_lost_when_a_writer_is_killed(tmp_path: Path, victims: Victims) -> None:
    assert change_and_kill(victims, tmp_path / "x.dh", 8) > 8


def test_a_killed_index_run_is_resumed(tmp_path: Path, pictures: Path, victims: Victims) -> None:
    index_and_kill(victims, pictures, tmp_path / "x.dh", 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_and_sixty_kills_of_a_writer(tmp_path: Path, victims: Victims) -> None:
    checked = change_and_kill(victims, tmp_path / "x.dh", 160)
    print(f"160 kills of a changing writer, {checked} acknowledged changes checked")
    assert checked > 1000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_kills_of_an_index_run(tmp_path: Path, pictures: Path, victims: Victims) -> None:
    partial = index_and_kill(victims, pictures, tmp_path / "y.dh", 40)
    print(f"40 kills of index, {partial} half way")
    assert partial > 3
