"""A collection with several models: what publishing changes and what it leaves, and who may still write."""

import json

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection, schema
from deephash.collection.hubs import complete_hub_biases, hub_correction, store_hub_bank
from deephash.collection.model_versions import as_metadata
from deephash.errors import CollectionDamaged, IncompatibleModel, UsageError

COUNT = 60


class Named:
    """A model as a collection sees one."""

    num_levels, method = 1, "Toy"

    def __init__(self, name, num_bits=16):
        self.name, self.num_bits = name, num_bits

    def fingerprint(self):
        return self.name

    def save(self, directory):
        directory.mkdir()
        record = {"format_version": 1, "deephash": "0", "class": "Toy", "num_bits": self.num_bits, "init_args": {}}
        record |= {"modalities": ["text"], "fingerprint": self.name, "weights_sha256": "0" * 64}
        (directory / "model.json").write_text(json.dumps(record))


def codes(count, bits=16, seed=0):
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, bits)))


def uris(count, prefix="old"):
    return [f"{prefix}/{row}.png" for row in range(count)]


@pytest.fixture
def collection(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=16, model=Named("one"), vector_dim=3)
    made.append(
        uris=uris(COUNT),
        codes=codes(COUNT),
        content_hashes=[f"hash{row}" for row in range(COUNT)],
        attributes=[{"label": "ab"[row % 2]} for row in range(COUNT)],
        vectors=np.ones((COUNT, 3)),
    )
    return made


def test_a_collection_that_was_never_upgraded_has_one_model_and_the_format_of_before(collection):
    (only,) = collection.model_versions
    assert (only.number, only.fingerprint, only.column, only.verdict) == (1, "one", "code", "")
    assert collection.spaces == (only,)
    assert collection.rows_by_model() == {1: COUNT}
    assert json.loads((collection.path / "collection.json").read_text())["format_version"] == 1
    assert {item.model_version for item in collection.items(collection.ids())} == {1}
    assert "model_version" not in collection.attribute_kinds


@pytest.mark.parametrize("same_space", [True, False])
def test_publishing_writes_no_code_and_can_be_undone(collection, same_space):
    before, version = collection.codes("code"), collection.version
    files = collection.num_files
    made = collection.publish(Named("two"), same_space=same_space, vector_dim=5, evidence={"compatible": same_space})
    assert (made.number, made.fingerprint, collection.fingerprint) == (2, "two", "two")
    after = collection.codes("code")
    assert (after[0] == before[0]).all()
    assert after[1] == before[1]
    assert collection.num_files == files
    assert collection.rows_by_model() == {1: COUNT, 2: 0}
    assert len(collection.spaces) == 1 + (not same_space)
    assert (collection.path / "models" / "two" / "model.json").is_file()
    collection.check()
    collection.restore(version)
    assert [each.fingerprint for each in collection.model_versions] == ["one"]
    assert collection.codes()[1] == before[1]


def test_new_rows_are_of_the_new_model_and_can_be_filtered_by_it(collection):
    collection.publish(Named("two"), same_space=True, vector_dim=5)
    new = collection.append(uris=uris(4, "new"), codes=codes(4, seed=1), vectors=np.ones((4, 5)))
    assert collection.rows_by_model() == {1: COUNT, 2: 4}
    assert collection.matching("model_version = 2").tolist() == new.tolist()
    assert [item.model_version for item in collection.items([0, int(new[0])])] == [1, 2]
    assert len(collection.codes()[0]) == COUNT + 4
    assert collection.vectors(new).shape == (4, 5)
    with pytest.raises(UsageError, match=r"no vector of the current model; give them one: deephash upgrade"):
        collection.vectors([0])


def test_codes_of_another_length_lie_in_a_column_of_their_own(collection):
    collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    assert (collection.num_bits, len(collection.codes()[0])) == (24, 0)
    assert collection.the_one_space("try") == "code"  # nobody has a code of the new model yet
    new = collection.append(uris=uris(4, "new"), codes=codes(4, 24), vectors=np.ones((4, 5)))
    assert collection.codes()[0].tolist() == new.tolist()
    assert len(collection.codes("code")[0]) == COUNT
    with pytest.raises(UsageError, match=r"Toy \(two\) and Toy \(one\), which cannot be compared; to try, bring all"):
        collection.the_one_space("try")
    with pytest.raises(UsageError, match="stays"):
        collection.drop_codes("code")
    collection.check()


def test_a_changed_picture_moves_to_the_current_model(collection):
    collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    collection.put(uris=["old/3.png"], codes=codes(1, 24, seed=3), content_hashes=["other"], made_by="two")
    assert collection.rows_by_model() == {1: COUNT - 1, 2: 1}
    assert collection.codes()[0].tolist() == [3]
    assert 3 not in collection.codes("code")[0]
    assert collection.items([3])[0].attributes["label"] == "b"


@pytest.mark.parametrize("write", ["append", "put"])
def test_whoever_encoded_by_the_model_before_is_refused(collection, write):
    collection.publish(Named("two"), same_space=True, vector_dim=3)
    with pytest.raises(
        IncompatibleModel, match=r"upgraded from the model one to Toy \(two\) meanwhile; run the command"
    ):
        getattr(collection, write)(uris=["late.png"], codes=codes(1), made_by="one")
    assert len(collection) == COUNT


def test_two_upgrades_at_once_and_the_same_model_twice(collection):
    first = collection.current
    collection.publish(Named("two"), same_space=True, vector_dim=3, after=first)
    with pytest.raises(UsageError, match=r"brought to model version 2, Toy \(two\), meanwhile; measure against that"):
        collection.publish(Named("three"), same_space=True, vector_dim=3, after=first)
    with pytest.raises(UsageError, match=r"has Toy \(two\) already"):
        collection.publish(Named("two"), same_space=True, vector_dim=3)
    with pytest.raises(UsageError, match="24 bits"):
        collection.publish(Named("three", 24), same_space=True, vector_dim=3)


def test_rows_take_a_new_code_only_where_they_are_what_was_encoded(collection):
    first, second = collection.current, collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    collection.remove([1])
    made = codes(4, 24, seed=5)
    done = collection.recode(
        [0, 1, 2, 3],
        made,
        content_hashes=["hash0", "hash1", "changed", "hash3"],
        vectors=np.ones((4, 5)),
        version=second,
    )
    assert done == 2  # 1 is gone, 2 has another picture by now
    assert collection.codes()[0].tolist() == [0, 3]
    assert collection.codes()[1] == BinaryCodes.concatenate([made[0:1], made[3:4]])
    assert collection.vectors([0, 3]).shape == (2, 5)
    assert collection.recode([0], made[0:1], content_hashes=["hash0"], version=second) == 0
    with pytest.raises(UsageError, match=r"has model version 2, Toy \(two\), by now, not 1, Toy \(one\)"):
        collection.recode([0], made[0:1], content_hashes=["hash0"], version=first)
    collection.check()


def test_a_number_that_came_again_after_a_restore_is_not_taken_for_the_model(collection):
    before = collection.version
    lost = collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    collection.restore(before)
    collection.publish(Named("three", 24), same_space=False, vector_dim=5)
    assert collection.current.number == lost.number
    with pytest.raises(UsageError, match=r"model version 2, Toy \(three\), by now, not 2, Toy \(two\)"):
        collection.recode([0], codes(1, 24), content_hashes=["hash0"], version=lost)
    with pytest.raises(UsageError, match=r"brought to model version 2, Toy \(three\), meanwhile"):
        collection.publish(Named("four"), same_space=False, vector_dim=5, after=lost)
    assert len(collection.codes()[0]) == 0


def test_a_bank_of_hubs_waits_until_all_rows_are_of_one_model(collection):
    store_hub_bank(collection, "image", codes(5, seed=7))
    second = collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    with pytest.raises(UsageError, match=f"{COUNT} of {COUNT} rows of .* bring all rows to one model first"):
        store_hub_bank(collection, "image", codes(5, 24, seed=7))
    assert list(collection.path.glob("hub_bank_image_*")) == []
    collection.append(uris=uris(1, "new"), codes=codes(1, 24), vectors=np.ones((1, 5)))
    assert complete_hub_biases(collection) == 0
    hashes = [f"hash{row}" for row in range(COUNT)]
    collection.recode(
        range(COUNT), codes(COUNT, 24), content_hashes=hashes, vectors=np.ones((COUNT, 5)), version=second
    )
    with pytest.raises(UsageError, match="have no hub bias for image queries yet"):
        hub_correction(collection, "image")  # those of the first model's codes are void
    assert store_hub_bank(collection, "image", codes(5, 24, seed=7)) == COUNT + 1


def test_a_column_of_that_name_which_is_the_users_is_kept_and_an_upgrade_says_so(tmp_path, monkeypatch):
    made = Collection.create(tmp_path / "x.dh", num_bits=16, model=Named("one"))
    monkeypatch.setattr(schema, "RESERVED", ())  # as 0.1.0 let people do
    made.append(uris=["a.png"], codes=codes(1), attributes=[{"model_version": 7}])
    monkeypatch.undo()
    assert made.items([0])[0].attributes["model_version"] == 7
    made.put(uris=["a.png"], codes=codes(1, seed=1))
    assert made.items([0])[0].attributes["model_version"] == 7
    with pytest.raises(UsageError, match="has an attribute 'model_version' of its own"):
        made.publish(Named("two"), same_space=True)
    assert made.fingerprint == "one"


def test_nobody_sets_the_model_of_a_row_by_hand(collection):
    with pytest.raises(UsageError, match="'model_version' cannot name a column"):
        collection.update([0], [{"model_version": 2}])
    collection.publish(Named("two"), same_space=True, vector_dim=3)
    with pytest.raises(UsageError, match="'model_version' cannot name a column"):
        collection.update([0], [{"model_version": 2}])


@pytest.mark.parametrize(("text", "message"), [
    ("no json", "is no JSON"),
    ('{"versions": []}', "length of 0"),
    ('{"versions": [{"number": 1, "column": "gone", "model": "x"}]}', "names a column 'gone' that is not there"),
    ('{"versions": [{"number": 1, "column": "code", "model": "x", "vectors": "uri"}]}', "'uri' that holds no vectors"),
    ('{"versions": [{"number": 1, "column": "code", "model": "x", "vectors": "code"}]}', "that holds no vectors"),
    ('{"versions": [{"number": 3, "column": "code", "model": "x"}]}', "a number twice or none"),
    ('{"versions": [{"number": 1, "column": "code", "model": "x", "fingerprint": "../x"}]}', "not of the right form"),
])  # fmt: skip
def test_a_damaged_list_of_models_is_refused(collection, text, message):
    collection._rows.note(dict.fromkeys(as_metadata(collection.model_versions), text))
    with pytest.raises(CollectionDamaged, match=message):
        Collection.open(collection.path).codes()
    with pytest.raises(CollectionDamaged, match="restore"):
        Collection.open(collection.path).codes()


def test_the_second_try_of_an_interrupted_upgrade_takes_what_is_there(collection, monkeypatch):
    monkeypatch.setattr(type(collection._rows), "note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    monkeypatch.undo()
    again = Collection.open(collection.path)
    assert again.fingerprint == "one"
    again.append(uris=["between.png"], codes=codes(1), vectors=np.ones((1, 3)))
    columns = len(again.code_columns)
    again.publish(Named("two", 24), same_space=False, vector_dim=5)
    assert len(again.code_columns) == columns == 2
    assert again.rows_by_model() == {1: COUNT + 1, 2: 0}
    again.check()


def test_a_model_that_comes_back_finds_its_own_codes(collection):
    before = collection.codes("code")[1]
    collection.publish(Named("two", 24), same_space=False, vector_dim=5)
    collection.append(uris=uris(4, "new"), codes=codes(4, 24), vectors=np.ones((4, 5)))
    back = collection.publish(Named("one"), same_space=False, vector_dim=3)
    assert (back.column, back.vectors) == ("code", "vector")
    assert collection.codes()[1] == before
    assert len(collection.code_columns) == 2
    assert [each.number for each in collection.spaces] == [3, 2]
    assert collection.vectors([0]).shape == (1, 3)
    collection.check()
