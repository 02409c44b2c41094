"""What the page computes once: kept beside the rows, read back, and never trusted where anything is wrong with it."""

import json
import os

import numpy as np
import pytest
from deephash.webui import keptduplicates, keptmaps
from deephash.webui.duplicates import as_csv, find_duplicates
from deephash.webui.kept import Kept, kept_or_made, key_of
from deephash.webui.keptduplicates import kept_duplicates
from deephash.webui.keptmaps import kept_clusters, kept_map
from deephash.webui.workspace import Workspace
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.web.collections import random_collection


@pytest.fixture
def collection(tmp_path):
    return random_collection(tmp_path / "x.dh", 60, 32)


@pytest.fixture
def made():
    return []


def ask(collection, made, key="a", writes=True, value=7):
    def make():
        made.append(value)
        return np.full(3, value)

    def unpack(kept):
        return kept.array("values", "int64", 3)

    pack = {"pack": lambda found: Kept({"values": found}), "unpack": unpack}
    return kept_or_made(collection, "thing", key, make=make, writes=writes, **pack).tolist()


def test_what_was_kept_is_read_back_and_what_is_stale_is_made_anew(collection, made):
    assert [ask(collection, made) for _ in range(3)] == [[7, 7, 7]] * 3
    assert len(made) == 1
    assert ask(collection, made, key="b", value=8) == [8, 8, 8]  # it depends on something else now
    assert ask(collection, made, key="a", value=9) == [9, 9, 9]  # and only the newest is kept
    assert made == [7, 8, 9]


def test_nothing_is_written_where_nothing_may_be(collection, made, monkeypatch):
    ask(collection, made, writes=False)
    assert not list(collection.path.glob("*.kept"))

    def full(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("deephash.webui.kept.replace_file", full)
    assert ask(collection, made) == [7, 7, 7]
    assert made == [7, 7]


@pytest.mark.posix
@pytest.mark.parametrize(
    "spoilt", ["cut", "turned", "empty", "no header", "link", "long header", "other shape", "type"]
)
def test_a_file_that_is_not_whole_is_not_trusted(collection, made, tmp_path, spoilt):
    ask(collection, made)
    path = collection.path / "thing.kept"
    header, content = path.read_bytes().split(b"\n", 1)
    said = json.loads(header)
    wrong = {
        "cut": header + b"\n" + content[:-1],
        "turned": header + b"\n" + bytes([content[0] ^ 1]) + content[1:],
        "empty": b"",
        "no header": content,
        "link": b"",
        "long header": b" " * 100_000 + header + b"\n" + content,
        "other shape": json.dumps(said | {"arrays": [["values", "int64", [1, 3]]]}).encode() + b"\n" + content,
        "type": json.dumps(said | {"arrays": [["values", "object", [3]]]}).encode() + b"\n" + content,
    }
    path.write_bytes(wrong[spoilt])
    if spoilt == "link":
        path.unlink()
        path.symlink_to("/dev/zero")
    assert ask(collection, made, value=8) == [8, 8, 8]
    assert ask(collection, made, value=9) == [8, 8, 8]  # mended by writing it again
    assert not path.is_symlink()


def test_a_key_tells_its_parts_apart():
    one, two = np.arange(4, dtype=np.uint8), np.arange(2, dtype=np.uint8)
    assert len({key_of("a", one), key_of("b", one), key_of("a", two), key_of("a" + "\0"), key_of("a", "")}) == 5


def codes(seed: int) -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (60, 32)))


def test_clusters_and_maps_survive_a_restart(collection, monkeypatch):
    regions, (places, of) = (
        kept_clusters(collection, codes(0), writes=True),
        kept_map(collection, codes(0), writes=True),
    )

    def again(*_):
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(keptmaps, "clustered", again)
        reread, (places_again, of_again) = (
            kept_clusters(collection, codes(0), writes=True),
            kept_map(collection, codes(0), writes=True),
        )
        with pytest.raises(AssertionError, match="computed again"):
            kept_clusters(collection, codes(1), writes=True)
    np.testing.assert_array_equal(places_again, places)
    for one, other in ((regions, reread), (of, of_again)):
        for name in ("of", "middles", "sizes"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_clusters_that_somebody_wrote_are_checked(collection):
    """The digest says that a file is whole, not that an honest program wrote it."""
    honest = kept_clusters(collection, codes(0), writes=True)
    key = json.loads((collection.path / "clusters.kept").read_bytes().split(b"\n")[0])["key"]
    for of, middles in (
        (honest.of, honest.middles + 1000),
        (honest.of - 1, honest.middles),
        (honest.of[1:], honest.middles),
    ):
        forged = Kept({"of": of, "middles": middles, "sizes": honest.sizes})
        kept_or_made(
            collection, "clusters", key + "x", make=lambda: 0, pack=lambda _, kept=forged: kept, unpack=len, writes=True
        )
        path = collection.path / "clusters.kept"
        path.write_bytes(path.read_bytes().replace(f"{key}x".encode(), key.encode()))
        np.testing.assert_array_equal(kept_clusters(collection, codes(0), writes=False).of, honest.of)


@pytest.fixture
def doubled(tmp_path):
    """Two photographs of noise, one of them twice."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((120, 120))
        picture.save(folder / f"{number}.png")
        if number:
            picture.resize((90, 90)).save(folder / "1_small.png")
    bits = np.zeros((3, 32), bool)
    bits[0] = True
    made = Collection.create(tmp_path / "d.dh", num_bits=32, root=folder)
    made.append(uris=["0.png", "1.png", "1_small.png"], codes=BinaryCodes.from_bits(bits))
    return made


def shard(collection):
    return Workspace([collection.path]).place().searcher.snapshot.current


def test_duplicates_survive_a_restart_and_no_change_of_a_file(doubled, monkeypatch):
    first = kept_duplicates(shard(doubled), writes=True)
    assert len(first.groups(first.reach)) == 1
    looked = []
    monkeypatch.setattr(keptduplicates, "find_duplicates", lambda one: looked.append(1) or find_duplicates(one))
    again = kept_duplicates(shard(doubled), writes=True)
    assert looked == []
    assert as_csv(again, again.reach) == as_csv(first, first.reach)
    assert again.looks == first.looks
    assert (again.found.radius, again.found.candidates, again.found.confirmed, again.by, again.compared) == (
        first.found.radius,
        first.found.candidates,
        first.found.confirmed,
        first.by,
        first.compared,
    )
    small = doubled.root / "1_small.png"
    os.utime(small, ns=(1, 1))  # somebody wrote it again
    kept_duplicates(shard(doubled), writes=True)
    assert looked == [1]
    small.unlink()
    kept_duplicates(shard(doubled), writes=True)  # a drive that is not there: nothing of this is kept
    small.write_bytes((doubled.root / "1.png").read_bytes())
    assert len(kept_duplicates(shard(doubled), writes=True).ids) == 2
    assert looked == [1, 1, 1]
