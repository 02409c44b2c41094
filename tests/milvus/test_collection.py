"""A collection on a real Milvus server gives the answers that it gives alone, after every change."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.milvus_push import Pusher, audit
from deephash.collection.parser import as_filter
from deephash.errors import EngineUnavailable
from deephash.index.base import Selection
from deephash.index.milvus import MilvusAddress
from deephash.search import Options, Part, Query, Searcher
from tests.milvus.collections import LABELS, attributes, random_collection

FILTERS = (
    None,
    "label = cat",
    {"label": 'x" or id >= 0 or at_label == "'},
    "not (label in (cat, dog) or seen = true)",
    "year >= 2000 and weight < 0.5",
    "path ~ '3/**'",
    "taken >= 2010-01-01 or label missing",
)


@pytest.fixture(scope="module")
def pushed(server, tmp_path_factory):
    """(collection, address) of 300 rows."""
    collection = random_collection(tmp_path_factory.mktemp("pushed") / "pictures.dh")
    address = f"milvus:{server.uri}/parity"
    Pusher(collection, MilvusAddress.parse(address)).push()
    return collection, address


def answers(path, kind, code, where=None, k=12):
    searcher = Searcher.open(path, index=kind)
    return searcher.ask(Query.of(Part("code", code)), Options(k, where=where))


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_a_search_gives_what_it_gives_without_a_server(pushed, where):
    collection, address = pushed
    code = BinaryCodes.from_bits(np.random.default_rng(7).integers(0, 2, (1, 20)))
    mine, theirs = (answers(collection.path, kind, code, where) for kind in ("scan", address))
    assert [(hit.id, hit.distance, hit.tie_size) for hit in mine.hits]
    assert mine.hits == theirs.hits
    np.testing.assert_array_equal(mine.counts, theirs.counts)  # so few rows are counted one by one
    assert mine.headline == theirs.headline


def test_the_server_translates_what_it_has_words_for(pushed):
    collection, address = pushed
    code = BinaryCodes.from_bits(np.zeros((1, 20), bool))
    assert "filtered by the server" in answers(collection.path, address, code, "year >= 2000").engine
    assert "filtered by" in answers(collection.path, address, code, "path ~ '3/**'").engine
    assert "filtered by the server" not in answers(collection.path, address, code, "path ~ '3/**'").engine


values = {
    "label": st.sampled_from([label for label in LABELS if label is not None] + ["cats", "x\ny"]),
    "year": st.one_of(st.integers(-10, 2040), st.floats(-10, 2040), st.sampled_from([-(2**63), 2**63 - 1])),
    "weight": st.floats(allow_nan=False, allow_infinity=False),
    "seen": st.booleans(),
    "taken": st.datetimes(),
}


@st.composite
def conditions(draw):
    column = draw(st.sampled_from(list(values)))
    operations = ["eq", "ne", "in", "exists"] + ["gt", "gte", "lt", "lte"] * (column != "seen")
    operation = draw(st.sampled_from(operations))
    if operation == "exists":
        return {column: {"exists": draw(st.booleans())}}
    if operation == "in":
        return {column: {"in": draw(st.lists(values[column], max_size=4))}}
    return {column: {operation: draw(values[column])}}


filters = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"and": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=filters)
def test_every_filter_passes_the_same_rows_on_the_server(pushed, where):
    collection, address = pushed
    pusher = Pusher(collection, MilvusAddress.parse(f"{address}?consistency=eventually"))
    index = pusher.index_over(pusher.table_of(collection.current), collection.current)
    expected = collection.matching(where)
    code = BinaryCodes.from_bits(np.zeros((1, 20), bool))
    found = index.search(code, 300, allowed=Selection(as_filter(where), lambda: expected))
    np.testing.assert_array_equal(np.sort(found.ids[0]), expected)


def test_changes_reach_the_server_and_removals_are_seen_at_once(address, tmp_path):
    collection = random_collection(tmp_path / "changing.dh", number=60)
    random = np.random.default_rng(3)
    pusher = Pusher(collection, MilvusAddress.parse(address))
    first = pusher.push()[0]
    assert (first.written, first.removed, first.rows) == (60, 0, 60)
    again = pusher.push()[0]
    assert (again.written, again.removed, again.table) == (0, 0, first.table)

    searcher = Searcher.open(collection.path, index=address)
    code = searcher.snapshot.codes_of(collection.ids()[:1])
    query = Query.of(Part("code", code))
    assert searcher.ask(query, Options(1)).hits[0].id == collection.ids()[0]
    collection.remove(collection.ids()[:1])
    assert searcher.ask(query, Options(60)).hits == answers(collection.path, "scan", code, k=60).hits

    collection.refresh()
    collection.update(collection.ids()[:3], [{"label": "changed"}] * 3)
    fresh = BinaryCodes.from_bits(random.integers(0, 2, (5, 20)))
    collection.append(uris=[f"new/{row}" for row in range(5)], codes=fresh, attributes=attributes(5, random))
    done = Pusher(collection, MilvusAddress.parse(address)).push()[0]
    assert (done.written, done.removed, done.rows) == (8, 0, 64)
    mine = answers(collection.path, "scan", code, "label = changed").hits
    assert answers(collection.path, address, code, "label = changed").hits == mine
    assert len(mine) == 3


def test_a_new_column_gets_a_new_table_and_the_alias_moves(address, tmp_path, server):
    from pymilvus import MilvusClient

    collection = random_collection(tmp_path / "wider.dh", number=20)
    target = MilvusAddress.parse(address)
    before = Pusher(collection, target).push()[0].table
    collection.update(collection.ids()[:1], [{"colour": "red"}])
    after = Pusher(collection, target).push()[0]
    assert (after.written, after.table != before) == (20, True)
    client = MilvusClient(server.uri)
    assert client.list_aliases(after.table)["aliases"] == [target.name]
    assert client.has_collection(before)  # whoever still searches it is answered
    Pusher(collection, target).push()
    assert not client.has_collection(before)
    assert client.query(target.name, filter='at_colour == "red"', output_fields=["id"], consistency_level="Strong")


def test_two_collections_never_share_a_table(address, tmp_path):
    one, two = (random_collection(tmp_path / f"{name}.dh", number=5) for name in ("one", "two"))
    target = MilvusAddress.parse(address)
    Pusher(one, target).push()
    with pytest.raises(EngineUnavailable, match="holds another collection") as refused:
        Pusher(two, target).push()
    assert f"--engine {address}_2" in str(refused.value)


def test_verify_counts_what_differs(address, tmp_path, capsys, server):
    from pymilvus import MilvusClient

    collection = random_collection(tmp_path / "judged.dh", number=40)
    assert main(["collection", "verify", str(collection.path), "--engine", address]) == 4
    assert "collection push" in capsys.readouterr().err
    assert main(["collection", "push", str(collection.path), "--engine", address]) == 0
    assert main(["collection", "verify", str(collection.path), "--engine", address]) == 0
    assert "recall@10 1.0000" in (said := capsys.readouterr().out)
    assert "0 missing, 0 extra, 0 different" in said

    client, name = MilvusClient(server.uri), MilvusAddress.parse(address).name
    rows = client.query(name, filter="id >= 0", output_fields=["*"], limit=100, consistency_level="Strong")
    row = dict(next(iter(rows)))
    row["code"] = row["code"][0] if isinstance(row["code"], list) else row["code"]
    client.upsert(name, [row | {"id": 10_000}, row | {"stamp": 1}])
    client.delete(name, ids=[each["id"] for each in rows if each["id"] != row["id"]][:2])
    assert main(["collection", "verify", str(collection.path), "--engine", address, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["missing"], found["extra"], found["different"]) == (2, 1, 1)
    table = Pusher(collection, MilvusAddress.parse(address)).table_of(collection.current)
    assert audit(table, collection, collection.current) == {"missing": 2, "extra": 1, "different": 1}


def test_a_search_brings_little_and_refuses_much(address, tmp_path, monkeypatch):
    collection = random_collection(tmp_path / "late.dh", number=30)
    code = BinaryCodes.from_bits(np.zeros((1, 20), bool))
    monkeypatch.setattr("deephash.collection.milvus_push.SOON", 10)
    with pytest.raises(EngineUnavailable, match=r"30 rows .* are not on the Milvus server") as refused:
        answers(collection.path, address, code)
    assert "deephash collection push" in str(refused.value)
    monkeypatch.setattr("deephash.collection.milvus_push.SOON", 30)
    assert answers(collection.path, address, code).hits == answers(collection.path, "scan", code).hits


def test_the_command_line_from_folder_to_answer(address, tmp_path, capsys):
    from PIL import Image

    for shade in range(12):
        folder = tmp_path / "pictures" / ("dark" if shade < 6 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 24), 5 + 15 * shade).save(folder / f"{shade}.png")
    source = random_collection(tmp_path / "codes.dh", number=12)
    assert main(["collection", "push", str(source.path), "--engine", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"][0]["rows"] == 12
    item = f"id:{source.ids()[0]}"
    assert main(["search", str(source.path), item, "--engine", address, "--explain", "--where", "path exists"]) == 0
    said = capsys.readouterr()
    assert "engine: Milvus at 127.0.0.1" in said.err
    assert "0/0.png" in said.out
    assert main(["search", str(source.path), item, "--engine", "milvus:nowhere"]) == 2
    assert main(["collection", "push", str(source.path), "--engine", "faiss:flat"]) == 2
    assert "milvus:http://HOST:PORT/NAME" in capsys.readouterr().err


def test_what_somebody_else_changed_on_the_server_is_mended(address, tmp_path, server):
    from pymilvus import MilvusClient

    collection = random_collection(tmp_path / "mended.dh", number=30)
    target = MilvusAddress.parse(address)
    table = Pusher(collection, target).push()[0].table
    client = MilvusClient(server.uri)
    client.delete(table, ids=collection.ids()[:4].tolist())
    code = BinaryCodes.from_bits(np.zeros((1, 20), bool))
    expected = answers(collection.path, "scan", code).hits
    assert answers(collection.path, address, code).hits == expected  # opening finds that rows lack
    client.delete(table, ids=collection.ids()[:4].tolist())
    assert Pusher(collection, target).push()[0].written == 4
    client.drop_collection(table) if not client.list_aliases(table)["aliases"] else client.drop_alias(target.name)
    client.drop_collection(table)
    assert answers(collection.path, f"{address}?shards=2", code).hits == expected


def test_a_newer_version_on_the_server_is_not_overwritten(address, tmp_path):
    collection = random_collection(tmp_path / "newer.dh", number=10)
    old = Collection.open(collection.path)
    collection.remove(collection.ids()[:1])
    Pusher(collection, MilvusAddress.parse(address)).push()
    with pytest.raises(EngineUnavailable, match=r"holds version \d+ of .*, and this is version"):
        Pusher(old, MilvusAddress.parse(address)).push()


def test_while_a_server_lacks_a_version_the_one_before_goes_on_answering(address, tmp_path, monkeypatch, caplog):
    collection = random_collection(tmp_path / "serving.dh", number=40)
    Pusher(collection, MilvusAddress.parse(address)).push()
    searcher = Searcher.open(collection.path, index=address)
    query = Query.of(Part("code", BinaryCodes.from_bits(np.zeros((1, 20), bool))))
    before = searcher.ask(query, Options(5)).hits
    monkeypatch.setattr("deephash.collection.milvus_push.SOON", 3)
    monkeypatch.setattr("deephash.search.searcher.PATIENCE", 0.0)
    collection.remove(collection.ids()[:20])
    assert searcher.ask(query, Options(5)).hits == before
    assert "goes on answering" in caplog.text
    Pusher(collection, MilvusAddress.parse(address)).push()
    assert searcher.ask(query, Options(5)).hits == answers(collection.path, "scan", query.parts[0].value, k=5).hits


def test_lists_that_hold_too_few_rows_are_completed(address):
    from deephash.index import open_index

    random = np.random.default_rng(2)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (400, 24)))
    index = open_index(f"{address}?kind=ivf&num_lists=64&nprobe=1", np.arange(400), codes)
    exact = open_index("scan", np.arange(400), codes)
    for k in (1, 100, 400):
        found, right = index.search(codes[:1], k), exact.search(codes[:1], k)
        assert found.ids.shape == (1, k)
        assert np.isin(right.ids[0][:1], found.ids[0]).all()
    assert found.ids.tolist() == right.ids.tolist()  # all rows, in order
    assert "nprobe 1 of 64" in index.explain()


def test_large_ties_and_large_answers_are_complete(address, monkeypatch):
    """With pages of 64 rows the same code runs that fetches more than 16,384 rows in parts."""
    from deephash.index import open_index

    monkeypatch.setattr("deephash.index.milvus.nearest.PAGE", 64)
    random = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (5, 9))[random.integers(0, 5, 900)])
    ids = random.permutation(5000)[:900].astype(np.int64)
    mine, theirs = open_index("scan", ids, codes), open_index(f"{address}?shards=2", ids, codes)
    queries = BinaryCodes.from_bits(random.integers(0, 2, (3, 9)))
    for k in (1, 40, 200, 900):
        expected, found = mine.search(queries, k), theirs.search(queries, k)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
    for one, two in zip(mine.search_radius(queries, 4), theirs.search_radius(queries, 4), strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)


def test_counts_are_right_where_it_is_near_and_add_up(address, monkeypatch):
    from deephash.index import open_index

    monkeypatch.setattr("deephash.index.milvus.index.PAGE", 100)
    monkeypatch.setattr("deephash.index.milvus.index.NEAR", 150)
    random = np.random.default_rng(1)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (3000, 32)))
    mine, theirs = (open_index(kind, np.arange(3000), codes) for kind in ("scan", address))
    query = codes[:1]
    exact, told = mine.counts(query), theirs.counts(query)
    near = np.flatnonzero(np.cumsum(exact) < 150)
    np.testing.assert_array_equal(told[near], exact[near])
    assert told.sum() == 3000
    assert np.abs(np.cumsum(told) - np.cumsum(exact)).max() < 3000 * 0.05
