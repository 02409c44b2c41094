"""Searcher over real collections of random codes, against brute force; no torch."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from deephash.codes import BinaryCodes, hamming_distance
from deephash.collection import Collection
from deephash.errors import DeephashError, UsageError
from deephash.search import Options, Part, Query, Searcher

BITS, COUNT = 24, 300


def build(path, count=COUNT, seed=0, vectors=False):
    generator = np.random.default_rng(seed)
    codes = BinaryCodes.from_bits(generator.integers(0, 2, (count, BITS)))
    collection = Collection.create(path, num_bits=BITS, vector_dim=4 if vectors else None)
    collection.append(
        uris=[f"{row % 3}/{row}.jpg" for row in range(count)],
        codes=codes,
        attributes=[{"label": "abc"[row % 3], "year": 2000 + row % 10} for row in range(count)],
        vectors=generator.normal(size=(count, 4)) if vectors else None,
    )
    return codes


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("searcher") / "x.dh"
    codes = build(path)
    return Searcher.open(path, index="faiss:flat"), codes


def brute(codes, query, ids, rows=None):
    distances = hamming_distance(query, codes)[0]
    rows = np.arange(len(codes)) if rows is None else rows
    order = rows[np.lexsort((ids[rows], distances[rows]))]
    return [(int(ids[row]), int(distances[row])) for row in order]


def test_hits_equal_brute_force_in_order_ties_included(opened):
    searcher, codes = opened
    ids = searcher.snapshot.ids
    query = BinaryCodes.from_bits(np.random.default_rng(7).integers(0, 2, (1, BITS)))
    hits = searcher.by_codes(query, 50)
    assert [(hit.id, hit.distance) for hit in hits] == brute(codes, query, ids)[:50]
    counts = np.bincount(hamming_distance(query, codes)[0], minlength=BITS + 1)
    assert [hit.tie_size for hit in hits] == [counts[hit.distance] for hit in hits]
    assert [hit.rank for hit in hits] == list(range(1, 51))
    assert all(hit.similarity == 1 - hit.distance / BITS for hit in hits)
    assert np.array_equal(searcher.distance_counts(query), counts)


def test_a_filter_limits_hits_ties_and_the_histogram(opened):
    searcher, codes = opened
    ids = searcher.snapshot.ids
    rows = np.flatnonzero(np.arange(COUNT) % 3 == 1)
    for where in ("label = b", {"label": "b"}):
        hits = searcher.by_id(int(ids[1]), 20, where=where)
        assert [(hit.id, hit.distance) for hit in hits] == brute(codes, codes[1], ids, rows)[:20]
        assert {hit.attributes["label"] for hit in hits} == {"b"}
    assert searcher.distance_counts(codes[1], where="label = b").sum() == len(rows)


def test_more_answers_than_items_gives_all_of_them(opened):
    searcher, _ = opened
    assert len(searcher.by_id(int(searcher.snapshot.ids[0]), 10_000)) == COUNT


def test_an_item_finds_itself_first(opened):
    searcher, _ = opened
    hit = searcher.by_id(int(searcher.snapshot.ids[17]), 1)[0]
    assert (hit.id, hit.distance, hit.similarity) == (int(searcher.snapshot.ids[17]), 0, 1.0)


def test_a_cutoff_is_inclusive_and_may_leave_nothing(opened):
    searcher, codes = opened
    query = BinaryCodes.from_bits(1 - codes[5].bits())  # the complement: the nearest is some way off
    nearest = searcher.nearest_distance(query)
    assert nearest > 0
    assert searcher.by_codes(query, 5, max_distance=nearest - 1) == []
    assert {hit.distance for hit in searcher.by_codes(query, 5, max_distance=nearest)} == {nearest}
    assert searcher.nearest_distance(query, where="label = nobody") is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.by_id(10**9), "no item|no row"),
        (lambda s: s.by_id(int(s.snapshot.ids[0]), 0), "at least 1"),
        (lambda s: s.by_codes(s.snapshot.codes_of(s.snapshot.ids[:2])), "one code is searched at a time"),
        (lambda s: s.by_codes(BinaryCodes.from_hex(["00"])), "holds codes of 24 bits; the query has 8"),
        (lambda s: s.by_id(int(s.snapshot.ids[0]), where="colour = red"), "colour"),
        (lambda s: s.by_id(int(s.snapshot.ids[0]), rerank=5), "vectors"),
        (lambda s: s.by_both(b"", "a", beta=2), "between 0 and 1"),
        (lambda s: s.by_codes(s.snapshot.codes_of(s.snapshot.ids[:1]), rerank=5), "give the query's"),
    ],
)
def test_bad_questions_are_refused(opened, call, message):
    with pytest.raises(DeephashError, match=message):
        call(opened[0])


def test_reranking_orders_a_shortlist_by_stored_vectors(tmp_path):
    build(tmp_path / "v.dh", vectors=True)
    searcher = Searcher.open(tmp_path / "v.dh", index="faiss:flat")
    item = int(searcher.snapshot.ids[3])
    hits = searcher.by_id(item, 10, rerank=40)
    shortlist = [hit.id for hit in searcher.by_id(item, 40)]
    vectors = searcher.collection.vectors(shortlist).astype(np.float64)
    query = searcher.collection.vectors([item]).astype(np.float64)[0]
    cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosine, kind="stable")[:10]
    assert [hit.id for hit in hits] == [shortlist[place] for place in best]
    assert np.allclose([hit.score for hit in hits], cosine[best], atol=1e-4)


def test_a_change_of_the_collection_is_seen(tmp_path):
    build(tmp_path / "x.dh", count=20)
    searcher = Searcher.open(tmp_path / "x.dh", index="faiss:flat")
    before = searcher.snapshot
    assert searcher.snapshot is before
    writer = Collection.open(tmp_path / "x.dh")
    new = writer.append(uris=["new.jpg"], codes=BinaryCodes.from_bits(np.ones((1, BITS), int)))
    assert searcher.by_id(int(new[0]), 1)[0].uri == "new.jpg"
    writer.remove(new)
    with pytest.raises(UsageError):
        searcher.by_id(int(new[0]))
    assert len(searcher) == 20


def test_an_empty_collection_answers_with_nothing(tmp_path):
    Collection.create(tmp_path / "e.dh", num_bits=BITS)
    searcher = Searcher.open(tmp_path / "e.dh", index="faiss:flat")
    assert searcher.by_codes(BinaryCodes.from_bits(np.zeros((1, BITS), int)), 5) == []
    assert searcher.chance() is None


def test_several_threads_get_the_same_answers(opened):
    searcher, _ = opened
    wanted = [searcher.by_id(int(item), 5) for item in searcher.snapshot.ids[:8]]
    found: list[list] = [[] for _ in wanted]

    def work(place):
        for _ in range(5):
            found[place] = searcher.by_id(int(searcher.snapshot.ids[place]), 5)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(wanted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def test_an_item_comes_before_those_that_share_its_code(tmp_path):
    collection = Collection.create(tmp_path / "same.dh", num_bits=8)
    codes = BinaryCodes.from_hex(["0f"] * 6 + ["1f"])
    ids = collection.append(
        uris=[f"{row}.jpg" for row in range(7)], codes=codes, attributes=[{"n": r} for r in range(7)]
    )
    searcher = Searcher.open(tmp_path / "same.dh")
    for k in (3, 7):
        hits = searcher.by_id(int(ids[4]), k)
        expected = [int(ids[row]) for row in (4, 0, 1, 2, 3, 5, 6)]
        assert [hit.id for hit in hits] == expected[:k]
        assert [hit.rank for hit in hits] == list(range(1, k + 1))
        assert hits[0].tie_size == 6
    assert [hit.id for hit in searcher.by_id(int(ids[4]), 2, where="n < 4")] == [int(ids[0]), int(ids[1])]
    assert searcher.by_id(int(ids[4]), 2, where="n > 90") == []


def test_searching_by_id_imports_no_torch(opened):
    searcher, _ = opened
    code = (
        "import sys; from deephash.search import Searcher; "
        f"s = Searcher.open({str(searcher.path)!r}, index='faiss:flat'); "
        f"assert s.by_id({int(searcher.snapshot.ids[0])}, 3); "
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_still_searcher_stays_at_its_version(tmp_path):
    collection = Collection.create(tmp_path / "x.dh", num_bits=8)
    ids = collection.append(uris=["a.jpg", "b.jpg"], codes=BinaryCodes.from_hex(["0f", "1f"]))
    moving = Searcher.open(tmp_path / "x.dh")
    still = moving.still()
    collection.remove(ids[1:])
    assert (len(still), len(moving)) == (2, 1)
    assert [hit.uri for hit in still.by_id(int(ids[0]))] == ["a.jpg", "b.jpg"]
    assert len(moving.still()) == 1


@pytest.mark.parametrize("distinct", [4, 90, 3000])
@pytest.mark.parametrize("where", [None, "half = a"])
def test_hits_without_counts_are_those_of_the_whole_answer(tmp_path, distinct, where):
    """by_codes counts nothing where ties end among some more neighbours, and everything where they do not."""
    random = np.random.default_rng(distinct)
    pool = random.integers(0, 2, (distinct, 24))
    codes = BinaryCodes.from_bits(pool[random.integers(0, distinct, 3000)])
    collection = Collection.create(tmp_path / "x.dh", num_bits=24)
    halves = [{"half": "ab"[row % 2]} for row in range(3000)]
    collection.append(uris=[f"{row}.jpg" for row in range(3000)], codes=codes, attributes=halves)
    searcher = Searcher.open(tmp_path / "x.dh")
    for row in range(0, 3000, 300):
        for k in (1, 7, 200):
            query = Query.of(Part("code", codes[[row]]))
            whole = searcher.ask(query, Options(k, where=where)).hits
            assert searcher.by_codes(codes[[row]], k, where=where) == whole
            assert (
                searcher.by_id(row, k, where=where)
                == searcher.ask(Query.of(Part("item", row)), Options(k, where=where)).hits
            )
