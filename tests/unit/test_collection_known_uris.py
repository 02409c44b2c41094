"""A writer that remembers what is there refuses a uri or an id that is there twice as surely as one that reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import lance
import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection, writer
from deephash.collection.known_uris import KnownUris, hashes_of
from deephash.collection.rows import Rows
from deephash.errors import CollectionDamaged, UsageError


def codes(count: int) -> BinaryCodes:
    return BinaryCodes(np.zeros((count, 1), np.uint8), 8)


def append(collection: Collection, *uris: str) -> list[int]:
    return collection.append(uris=list(uris), codes=codes(len(uris))).tolist()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Collection.create(tmp_path / "x.dh", num_bits=8)
    return tmp_path / "x.dh"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record which columns are read whole."""
    reads: list[list[str]] = []
    read, batches = Rows.read, Rows.batches

    def recorded(self, names, *rest):
        reads.append(list(names))
        return read(self, names, *rest)

    def recorded_batches(self, names):
        reads.append(list(names))
        return batches(self, names)

    monkeypatch.setattr(Rows, "read", recorded)
    monkeypatch.setattr(Rows, "batches", recorded_batches)
    return reads


def test_many_commits_read_nothing_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = Collection.open(path)
    append(collection, "a", "b")
    reads = counted(monkeypatch)
    assert [append(collection, f"{row}", f"{row}x") for row in range(20)][-1] == [40, 41]
    assert reads == []
    with pytest.raises(UsageError, match=r"1 uri\(s\) are there already, the first '7x'"):
        append(collection, "new", "7x")
    assert len(Collection.open(path)) == 42
    collection.check()


def test_a_collection_that_has_rows_is_read_for_the_first_commits_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(Collection.open(path), "a", "b")
    collection = Collection.open(path)
    reads = counted(monkeypatch)
    for name in "cdefg":
        append(collection, name)
    assert reads.count(["id"]) == 1
    assert sum("uri" in names for names in reads) == 2
    for name in "abcdefg":
        with pytest.raises(UsageError, match="there already"):
            append(collection, name)


def test_what_others_wrote_meanwhile_is_seen(path: Path) -> None:
    one, two = Collection.open(path), Collection.open(path)
    assert [append(one, "a"), append(one, "b"), append(two, "c"), append(two, "d")] == [[0], [1], [2], [3]]
    for name in "abcd":
        for each in (one, two):
            with pytest.raises(UsageError, match="there already"):
                append(each, name)
    two.remove([0])
    assert append(one, "a") == [4]
    two.update([4], [{}], uris=["z"])
    assert append(one, "a") == [5]
    with pytest.raises(UsageError, match="there already"):
        append(one, "z")
    two.check()


def test_versions_that_come_back_bring_their_uris(path: Path) -> None:
    one, two = Collection.open(path), Collection.open(path)
    append(one, "a")
    append(one, "b")
    full = one.version
    two.remove([0, 1])
    assert append(one, "a", "b") == [2, 3]
    two.restore(full)
    with pytest.raises(UsageError, match="there already"):
        append(one, "a")
    assert append(one, "c") == [4]


def test_a_collection_made_anew_in_its_place_is_another(path: Path) -> None:
    one = Collection.open(path)
    append(one, "a")
    append(one, "b")
    shutil.rmtree(path)
    other = Collection.create(path, num_bits=8)
    append(other, "x")
    append(other, "y")
    assert other.version == one.version
    with pytest.raises(UsageError, match="there already"):
        append(one, "x")
    assert append(one, "a") == [2]


def test_replacing_keeps_ids_and_adds_what_is_new(path: Path) -> None:
    collection = Collection.open(path)
    for names in ("ab", "bc", "cad"):
        ids = collection.put(uris=list(names), codes=codes(len(names))).tolist()
    assert ids == [2, 0, 3]
    assert collection.find(list("abcd")) == {"a": 0, "b": 1, "c": 2, "d": 3}
    with pytest.raises(UsageError, match="there already"):
        append(collection, "d")


def test_equal_hashes_are_looked_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "hashes_of", lambda uris: np.zeros(len(uris), np.int64))
    collection = Collection.open(path)
    assert [append(collection, name) for name in "abc"] == [[0], [1], [2]]
    with pytest.raises(UsageError, match="there already"):
        append(collection, "b")


@pytest.mark.parametrize("uris", [np.array(["a"]), [np.str_("a")], [b"a"]])
def test_what_becomes_the_same_text_is_the_same_uri(path: Path, uris: object) -> None:
    collection = Collection.open(path)
    append(collection, "a")
    append(collection, "b")
    with pytest.raises(UsageError, match="there already"):
        collection.append(uris=uris, codes=codes(1))  # type: ignore[arg-type]


def test_an_id_that_is_there_twice_is_found_by_the_next_commit(path: Path) -> None:
    collection = Collection.open(path)
    append(collection, "a")
    append(collection, "b")
    rows = lance.dataset(str(path / "rows.lance"))
    lance.write_dataset(rows.to_table(filter="id = 1"), rows, mode="append")
    with pytest.raises(CollectionDamaged, match="an id twice"):
        append(collection, "c")


def test_ids_out_of_order_stay_right(path: Path) -> None:
    collection = Collection.open(path)
    append(collection, "a", "b", "c")
    collection.put(uris=["a"], codes=codes(1))  # Lance writes the row anew, behind the others
    assert append(collection, "d", "e") == [3, 4]
    assert collection.ids().tolist() == [0, 1, 2, 3, 4]
    assert [item.uri for item in collection.items([4, 0, 2])] == ["e", "a", "c"]


def test_another_process_that_commits_is_noticed(path: Path) -> None:
    collection = Collection.open(path)
    assert collection.is_latest()
    for name in "ab":
        script = f"""
import numpy as np
from deephash.codes import BinaryCodes
from deephash.collection import Collection
Collection.open({str(path)!r}).append(uris=[{name!r}], codes=BinaryCodes(np.zeros((1, 1), np.uint8), 8))
"""
        subprocess.run([sys.executable, "-c", script], check=True)
        assert not collection.is_latest()
        assert collection.refresh().is_latest()
    assert collection.find(["a", "b"]) == {"a": 0, "b": 1}
    shutil.rmtree(path)
    with pytest.raises(CollectionDamaged):
        collection.is_latest()


def test_no_hash_is_lost_however_they_come() -> None:
    random = np.random.default_rng(0)
    known, all_uris = KnownUris(), [str(row) for row in range(3000)]
    first = 0
    while first < 2000:
        last = min(2000, first + int(random.integers(0, 200)))
        known.add(hashes_of(all_uris[first:last]))
        first = last
    assert len(known) == 2000
    order = random.permutation(3000)
    asked = [all_uris[row] for row in order.tolist()]
    assert known.possible(hashes_of(asked)) == np.flatnonzero(order < 2000).tolist()
