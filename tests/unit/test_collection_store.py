"""Creating, opening, checking: what a collection accepts, refuses and says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection, Item
from deephash.errors import (
    CollectionDamaged,
    CollectionError,
    DatasetNotFound,
    FormatTooNew,
    IncompatibleModel,
    UsageError,
)


class FakeModel:
    """Has what a collection needs from a model."""

    def __init__(self, num_bits: int = 16, name: str = "abc") -> None:
        self.num_bits, self.name = num_bits, name

    def fingerprint(self) -> str:
        return self.name

    def save(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "model.json").write_text("{}")


def codes(count: int, num_bits: int = 16, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, num_bits)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.dh"


@pytest.fixture
def filled(path: Path) -> Collection:
    made = Collection.create(path, num_bits=16, model=FakeModel(), vector_dim=3, root=path.parent / "pictures")
    attributes = [{"label": "cat", "year": 2000 + row} for row in range(4)]
    made.append(uris=list("abcd"), codes=codes(4), attributes=attributes, vectors=np.eye(4, 3))
    return made


def test_a_new_collection_knows_itself(filled: Collection, path: Path) -> None:
    opened = Collection.open(path)
    assert (len(opened), opened.num_bits, opened.fingerprint, opened.vector_dim) == (4, 16, "abc", 3)
    assert opened.root == path.parent / "pictures"
    assert opened.model_path == path / "models" / "abc"
    assert (opened.model_path / "model.json").is_file()
    assert opened.card.format_version == 1
    assert opened.codes()[1] == codes(4)
    assert opened.items([2]) == [Item(2, "c", "", {"label": "cat", "year": 2002})]
    assert opened.vectors([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert opened.vectors([0]).dtype == np.float16


@pytest.mark.parametrize("num_bits", [1, 7, 8, 12, 64, 100])
def test_any_number_of_bits(path: Path, num_bits: int) -> None:
    made = Collection.create(path, num_bits=num_bits)
    made.append(uris=["a", "b"], codes=codes(2, num_bits))
    assert Collection.open(path).codes()[1] == codes(2, num_bits)


def test_several_levels(path: Path) -> None:
    levels = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (3, 2, 12)))
    made = Collection.create(path, num_bits=12, num_levels=2)
    made.append(uris=list("abc"), codes=levels)
    assert Collection.open(path).codes()[1] == levels


def test_ids_are_never_given_twice(filled: Collection, path: Path) -> None:
    filled.remove([3, 2])
    assert filled.append(uris=["e"], codes=codes(1)).tolist() == [4]
    filled.restore(2)
    assert filled.ids().tolist() == [0, 1, 2, 3]
    assert filled.append(uris=["f"], codes=codes(1)).tolist() == [5]
    (path / "next_id").unlink()
    assert filled.append(uris=["g"], codes=codes(1)).tolist() == [6]
    (path / "next_id").write_text("no number")
    with pytest.raises(CollectionDamaged, match="delete it"):
        filled.append(uris=["h"], codes=codes(1))


def test_creating_over_something_is_refused(filled: Collection, path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        Collection.create(path, num_bits=8)
    path.with_name("empty.dh").mkdir()
    assert len(Collection.create(path.with_name("empty.dh"), num_bits=8)) == 0
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]


def test_a_failed_creation_leaves_nothing(path: Path) -> None:
    class Broken(FakeModel):
        def save(self, directory: Path) -> None:
            raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        Collection.create(path, num_bits=16, model=Broken())
    assert list(path.parent.iterdir()) == []
    with pytest.raises(UsageError, match="not 8 bits"):
        Collection.create(path, num_bits=8, model=FakeModel(16))
    for sizes in ({"num_bits": 0}, {"num_bits": 8, "vector_dim": 0}, {"num_bits": 8, "num_levels": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            Collection.create(path, **sizes)


def test_opening_what_is_not_there_or_not_a_collection(filled: Collection, path: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="deephash index PICTURES --out"):
        Collection.open(tmp_path / "nowhere.dh")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CollectionDamaged, match=r"is not a collection: it has no collection\.json"):
        Collection.open(tmp_path / "folder")
    with pytest.raises(UsageError, match="has no version 99; it keeps versions 1 to 2"):
        Collection.open(path, version=99)


def rewrite_card(path: Path, **changes: Any) -> None:
    card = json.loads((path / "collection.json").read_text())
    (path / "collection.json").write_text(json.dumps({**card, **changes}))


def test_a_newer_format_is_refused_clearly(filled: Collection, path: Path) -> None:
    rewrite_card(path, format_version=3)
    with pytest.raises(FormatTooNew, match=r"format 3; this deephash reads up to 2\. Upgrade"):
        Collection.open(path)


def test_unknown_facts_in_a_card_are_passed_over(filled: Collection, path: Path) -> None:
    rewrite_card(path, colour="blue")
    assert len(Collection.open(path)) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "deephash collection"}', '{"format": "else"}'])
def test_a_damaged_card_is_named(filled: Collection, path: Path, text: str) -> None:
    (path / "collection.json").write_text(text)
    with pytest.raises(CollectionDamaged, match=r"collection\.json cannot be read"):
        Collection.open(path)


def damage(path: Path, how: str) -> None:
    rows = path / "rows.lance"
    victims = {"data": "data/*", "manifest": "_versions/*"}
    for file in rows.glob(victims.get(how.split()[0], "nothing")):
        if how.endswith("gone"):
            file.unlink()
        elif how.endswith("half"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif how.endswith("zeros"):
            file.write_bytes(bytes(file.stat().st_size))
    if how == "rows gone":
        shutil.rmtree(rows)


@pytest.mark.parametrize(
    "how",
    ["rows gone", "data gone", "data half", "data zeros", "manifest gone", "manifest half", "manifest zeros"],
)
def test_damage_is_reported_with_what_to_do(filled: Collection, path: Path, how: str) -> None:
    damage(path, how)
    with pytest.raises(CollectionDamaged, match=r"collection versions|from a copy"):
        Collection.open(path).check()


def test_a_missing_model_folder_is_damage_but_codes_still_read(filled: Collection, path: Path) -> None:
    shutil.rmtree(path / "models")
    opened = Collection.open(path)
    assert len(opened.codes()[0]) == 4
    with pytest.raises(CollectionDamaged, match="Copy the model folder"):
        opened.check()


def test_another_model_is_refused_by_name(filled: Collection) -> None:
    filled.check_model(FakeModel())
    with pytest.raises(
        IncompatibleModel, match=r"holds 16-bit codes of FakeModel \(abc\); you asked for FakeModel \(xyz\)"
    ):
        filled.check_model(FakeModel(32, "xyz"))


def test_codes_from_elsewhere_have_no_model(path: Path) -> None:
    made = Collection.create(path, num_bits=16)
    assert made.model_path is None
    assert made.root is None
    with pytest.raises(IncompatibleModel, match="codes from elsewhere"):
        made.check_model(FakeModel())
    with pytest.raises(UsageError, match="no root folder"):
        made.picture_path(Item(0, "a"))
    with pytest.raises(UsageError, match="keeps no vectors"):
        made.vectors([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": codes(1, 8)}, "holds codes of 16 bits"),
        ({"codes": codes(2)}, "1 uris, 2 codes"),
        ({"uris": ["x", "x"], "codes": codes(2)}, "'x' is given twice"),
        ({"uris": ["a"]}, "there already, the first 'a'"),
        ({"attributes": [{"year": "long ago"}]}, "'year' holds int64 in this collection, not string"),
        ({"attributes": [{"year": 1.5}]}, "holds int64"),
        ({"attributes": [{"label": 3}]}, "holds string"),
        ({"attributes": [{"year": 2**70}]}, "beyond it"),
        ({"attributes": [{"label": "\ud800"}]}, "beyond it"),
        ({"uris": ["\ud800"]}, "Unicode"),
        ({"attributes": [{"new name": 3}]}, "cannot name a column"),
        ({"attributes": [{"uri": "b"}]}, "cannot name a column"),
        ({"attributes": [{"x": [1]}]}, "text, a number, yes/no or a time"),
        ({"attributes": []}, "0 mappings"),
        ({"vectors": np.zeros((1, 2))}, r"have shape \[1, 3\]"),
        ({"vectors": np.full((1, 3), 1e6)}, "float16"),
        ({"vectors": np.full((1, 3), np.nan)}, "NaN"),
        ({"content_hashes": ["", ""]}, "2 hashes"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(
    filled: Collection, changes: Mapping[str, Any], message: str
) -> None:
    for write in (filled.append, filled.put):
        if write == filled.put and "already" in message:
            continue
        with pytest.raises(UsageError, match=message):
            write(**{"uris": ["new"], "codes": codes(1)} | changes)
        assert len(filled) == 4


def test_attributes_of_every_kind(filled: Collection) -> None:
    given = {"flag": True, "ratio": 0.5, "note": "ü", "when": datetime(2020, 1, 2, 3), "day": date(2020, 1, 2)}
    number = filled.append(uris=["e"], codes=codes(1), attributes=[given])
    stored = filled.items(number)[0].attributes
    assert stored == given | {"day": datetime(2020, 1, 2)}
    assert filled.attribute_kinds["flag"] == "yes/no"
    filled.update(number, [{"ratio": 2}])
    assert filled.items(number)[0].attributes["ratio"] == 2.0
    assert "flag" not in filled.items([0])[0].attributes


def test_mixed_new_attributes(filled: Collection) -> None:
    filled.update([0, 1], [{"height2": 1}, {"height2": 1.5}])
    assert filled.attribute_kinds["height2"] == "number"
    with pytest.raises(UsageError, match="mixes"):
        filled.update([0, 1], [{"other": 1}, {"other": "one"}])


def test_updates_that_make_no_sense(filled: Collection) -> None:
    with pytest.raises(UsageError, match="no row with id 99"):
        filled.update([99], [{"label": "x"}])
    with pytest.raises(UsageError, match="one mapping"):
        filled.update([0, 0], [{}, {}])
    with pytest.raises(UsageError, match="belongs to another row"):
        filled.update([0], [{}], uris=["b"])
    with pytest.raises(UsageError, match="one different uri"):
        filled.update([0, 1], [{}, {}], uris=["z", "z"])
    filled.update([0, 1], [{}, {}], uris=["b", "a"])
    assert filled.find(["a", "b"]) == {"a": 1, "b": 0}


def test_further_code_columns(filled: Collection, path: Path) -> None:
    filled.add_codes("short", [3, 1], codes(2, 5), model=FakeModel(5, "small"))
    ids, short = filled.codes("short")
    assert ids.tolist() == [1, 3]
    assert short == codes(2, 5)[[1, 0]]
    assert filled.model_path_of("short") == path / "models" / "small"
    filled.put(uris=["b"], codes=codes(1))
    assert filled.codes("short")[0].tolist() == [3], "codes of the old content must go"
    with pytest.raises(UsageError, match="no code column 'shirt'; did you mean 'short'"):
        filled.codes("shirt")
    with pytest.raises(UsageError, match="5 bits"):
        filled.add_codes("short", [0], codes(1, 6))
    with pytest.raises(IncompatibleModel, match="small"):
        filled.add_codes("short", [0], codes(1, 5), model=FakeModel(5, "else"))
    with pytest.raises(UsageError, match="is an attribute"):
        filled.add_codes("label", [0], codes(1, 5))
    with pytest.raises(UsageError, match="is a column of codes"):
        filled.update([0], [{"short": 1}])
    with pytest.raises(UsageError, match="no row with id 9"):
        filled.add_codes("short", [9], codes(1, 5))
    filled.drop_codes("short")
    assert list(filled.code_columns) == ["code"]
    with pytest.raises(UsageError, match="stays"):
        filled.drop_codes("code")


def test_old_versions_are_for_reading(filled: Collection, path: Path) -> None:
    filled.remove([0])
    old = Collection.open(path, version=2)
    assert len(old) == 4
    for write in (lambda: old.remove([1]), lambda: old.refresh()):
        with pytest.raises(UsageError, match="version"):
            write()
    assert [entry.num_rows for entry in filled.versions()] == [0, 4, 3]


def test_a_reader_keeps_its_version_while_others_write(filled: Collection, path: Path) -> None:
    reader = Collection.open(path)
    filled.remove([0])
    filled.compact()
    assert reader.ids().tolist() == [0, 1, 2, 3]
    assert len(reader.items([0])) == 1
    assert reader.refresh().ids().tolist() == [1, 2, 3]


def test_compaction_forgets_only_what_it_is_told_to(filled: Collection, path: Path) -> None:
    for number in range(3):
        filled.append(uris=[f"n{number}"], codes=codes(1))
    filled.compact()
    assert filled.num_files == 1
    assert len(Collection.open(path, version=2)) == 4
    filled.compact(forget_older_than=timedelta(0))
    with pytest.raises(UsageError, match="has no version 2"):
        Collection.open(path, version=2)
    assert len(filled) == 7


@pytest.mark.posix
def test_pictures_outside_the_root_have_no_path(filled: Collection, path: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "link").symlink_to(tmp_path)
    assert filled.picture_path(Item(0, "sub/a.jpg")) == tmp_path / "pictures" / "sub" / "a.jpg"
    assert filled.picture_path(Item(0, "collection:uploads/a.jpg")) == path / "uploads" / "a.jpg"
    for uri in ("../secret", "/etc/passwd", "link/secret", "collection:../secret"):
        with pytest.raises(UsageError, match="leads out"):
            filled.picture_path(Item(0, uri))


def test_notes_and_roots_move_into_the_card(filled: Collection, path: Path, tmp_path: Path) -> None:
    filled.note("recall", {"k": 10})
    filled.move_root(tmp_path / "elsewhere")
    assert Collection.open(path).card.notes == {"recall": {"k": 10}}
    assert Collection.open(path).root == tmp_path / "elsewhere"


def test_empty_requests(filled: Collection) -> None:
    assert filled.items([]) == []
    assert filled.vectors([]).shape == (0, 3)
    assert filled.remove([]) == 0
    assert filled.append(uris=[], codes=codes(0)).tolist() == []
    assert filled.put(uris=[], codes=codes(0)).tolist() == []
    filled.update([], [])
    assert len(filled) == 4


def test_a_write_that_fails_says_so_and_keeps_the_rest(filled: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    def full(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): No space left on device (os error 28)")

    monkeypatch.setattr(lance, "write_dataset", full)
    with pytest.raises(CollectionError, match="nothing of this change was kept: the disk is full"):
        filled.append(uris=["z"], codes=codes(1))
    assert len(filled) == 4
