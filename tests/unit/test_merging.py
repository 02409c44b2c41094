"""Several models in one answer: each searches its own items, and probability by chance puts them in one order."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.evaluation.null import independent_null
from deephash.search import Options, Part, Query, Searcher
from deephash.search.chance import chance_of
from tests.unit.test_model_versions import Named

OLD, NEW = 200, 80
ONE, TWO = "1" * 16, "2" * 16


def random_codes(count, bits, seed):
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, bits)))


@pytest.fixture
def path(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=32, model=Named(ONE, 32))
    made.append(uris=[f"old/{row}.png" for row in range(OLD)], codes=random_codes(OLD, 32, 0))
    made.publish(Named(TWO, 64), same_space=False)
    made.append(
        uris=[f"new/{row}.png" for row in range(NEW)],
        codes=random_codes(NEW, 64, 1),
        attributes=[{"label": "ab"[row % 2]} for row in range(NEW)],
    )
    return tmp_path / "x.dh"


@pytest.fixture
def searcher(path, monkeypatch):
    """A searcher whose models give the words "7" the 7th of a few codes of their own."""
    opened = Searcher.open(path, index="scan", model=None)
    tables = {ONE: random_codes(10, 32, 5), TWO: random_codes(10, 64, 6)}

    class Asked:
        description, modalities = "Toy", ("text",)

        def __init__(self, name):
            self.table = tables[name]

        def notes(self, query):
            return []

        def encode_query(self, query, *, with_vector=False):
            from deephash.search.encoder import Encoded

            only = query.only
            if only.kind == "code":
                return Encoded(only.value[:1])
            row = int(only.value)
            return Encoded(self.table[row : row + 1])

    monkeypatch.setattr(opened, "_encoder_of", lambda shard: Asked(shard.model.fingerprint))
    opened.tables = tables
    return opened


def words(number):
    return Query.of(Part("text", str(number), label=str(number)))


def test_the_order_is_that_of_a_plain_sort_by_probability(searcher):
    for number in range(10):
        answer = searcher.ask(words(number), Options(40))
        rows = []
        for place, shard in enumerate(searcher.snapshot):
            code = searcher.tables[shard.model.fingerprint][number : number + 1]
            ids, codes = searcher.collection.codes(shard.model.column)
            for item, distance in zip(ids.tolist(), code.hamming(codes)[0].tolist()):
                rows.append((float(shard.by_chance[distance]), place, distance, item))
        expected = sorted(rows)[:40]
        assert [(hit.by_chance, hit.distance, hit.id) for hit in answer.hits] == [(p, d, i) for p, _, d, i in expected]
        assert [hit.rank for hit in answer.hits] == list(range(1, 41))
        assert {hit.num_bits for hit in answer.hits} == {32, 64}
        assert {(hit.num_bits, hit.model_version) for hit in answer.hits} == {(32, 1), (64, 2)}
        assert answer.is_merged
        assert answer.total == OLD + NEW
        assert answer.counts.sum() == NEW
        assert "merged: by the probability" in answer.engine
        assert [code.num_bits for code in answer.codes] == [hit.num_bits for hit in answer.hits]


def test_every_hit_keeps_its_own_distance_and_ties(searcher):
    answer = searcher.ask(words(3), Options(OLD + NEW))
    assert sorted(hit.id for hit in answer.hits) == list(range(OLD + NEW))
    for shard in searcher.snapshot:
        mine = [hit for hit in answer.hits if hit.id in shard]
        assert [hit.distance for hit in mine] == sorted(hit.distance for hit in mine)
        counts = np.bincount([hit.distance for hit in mine])
        assert all(hit.tie_size == counts[hit.distance] for hit in mine)


def test_a_cut_off_in_bits_is_the_same_probability_for_every_model(searcher):
    cutoff = 24
    answer = searcher.ask(words(4), Options(OLD + NEW, max_distance=cutoff))
    whole = searcher.ask(words(4), Options(OLD + NEW))
    current = searcher.snapshot.current
    allowed = float(current.by_chance[cutoff])
    assert [hit.id for hit in answer.hits] == [hit.id for hit in whole.hits if hit.by_chance <= allowed]
    assert {hit.num_bits for hit in answer.hits} == {32, 64}


def test_a_cut_off_is_of_the_current_model_though_no_item_has_its_code_yet(tmp_path, monkeypatch, searcher):
    collection = Collection.open(searcher.path)
    collection.remove(collection.codes()[0])
    assert len(searcher.snapshot.current) == 0
    answer = searcher.ask(words(4), Options(OLD, max_distance=24))
    current, old = searcher.snapshot.shards
    wanted = {
        hit.id
        for hit in searcher.ask(words(4), Options(OLD)).hits
        if old.by_chance[hit.distance] <= current.by_chance[24]
    }
    assert {hit.id for hit in answer.hits} == wanted
    assert 0 < len(wanted) < OLD


def test_the_first_bits_of_long_codes_leave_shorter_codes_whole(searcher):
    answer = searcher.ask(words(2), Options(OLD + NEW, bits=48))
    assert {(hit.num_bits, hit.model_version) for hit in answer.hits} == {(32, 1), (48, 2)}
    assert len(answer.hits) == OLD + NEW
    with pytest.raises(UsageError, match="a prefix of 64-bit codes"):
        searcher.ask(words(2), Options(5, bits=65))


def test_the_comparison_shows_each_distance_beside_the_bits_of_its_own_model(searcher):
    from webui.compare import Comparison, Side, Variant, comparison_html

    answer = searcher.ask(words(3), Options(OLD + NEW))
    items = searcher.collection.items([hit.id for hit in answer.hits])
    side = Side(Variant("x"), answer.num_bits, 0, tuple(zip(items, answer.hits)), 0.0, 0.0)
    page = comparison_html(Comparison(answer.query, side, side, 1.0, 1.0, (0,) * len(items)))
    assert page.count("<small>/32</small>") == 2 * OLD
    assert page.count("<small>/64</small>") == 2 * NEW


def test_filters_reach_every_model_and_can_name_one(searcher):
    of_one = searcher.ask(words(1), Options(500, where="model_version = 1"))
    assert len(of_one.hits) == OLD
    labelled = searcher.ask(words(1), Options(500, where="label = a"))
    assert len(labelled.hits) == NEW // 2


def test_an_item_that_asks_stands_first_and_needs_no_model_where_it_has_a_code(searcher):
    answer = searcher.ask(Query.of(Part("item", 3)), Options(5))
    assert answer.hits[0].id == 3
    assert answer.hits[0].by_chance is None  # alone: the other model has no picture of it to encode
    (note,) = answer.notes
    assert note.startswith("80 items of Toy (2222222222222222) were left out: ")
    assert {hit.model_version for hit in answer.hits} == {1}


def test_a_code_searches_the_current_model_alone(searcher):
    hits = searcher.by_codes(random_codes(1, 64, 9), k=300)
    assert len(hits) == NEW
    asked = searcher.ask(Query.of(Part("code", random_codes(1, 64, 9))), Options(300))
    assert [hit.id for hit in asked.hits] == [hit.id for hit in hits]
    assert "a code can be compared with codes of its own model alone" in asked.notes[0]


@pytest.mark.parametrize("options", [Options(5, rerank=20), Options(5, correct_hubs=True)])
def test_vectors_and_hubs_of_several_models_are_not_mixed(searcher, options):
    with pytest.raises(UsageError, match=r"2 models that cannot be compared.*--re-encode now"):
        searcher.ask(words(1), options)


def test_prefixes_are_taken_of_each_model(searcher):
    answer = searcher.ask(words(1), Options(10, bits=16))
    assert {hit.num_bits for hit in answer.hits} == {16}
    assert answer.is_merged


def test_a_model_without_items_is_not_asked(path, searcher):
    collection = Collection.open(path)
    collection.remove(collection.codes()[0])
    answer = searcher.ask(words(2), Options(5))
    assert not answer.is_merged
    assert {hit.model_version for hit in answer.hits} == {1}
    assert answer.num_bits == 32


def test_an_upgrade_reaches_a_searcher_that_is_open(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=32, model=Named(ONE, 32))
    made.append(uris=["a.png", "b.png"], codes=random_codes(2, 32, 0))
    opened = Searcher.open(tmp_path / "x.dh", index="scan")
    assert [hit.id for hit in opened.by_id(0, k=5)] == [0, 1]
    made.publish(Named(TWO, 32), same_space=True)
    made.append(uris=["c.png"], codes=random_codes(1, 32, 0))
    assert [(hit.id, hit.model_version) for hit in opened.by_id(0, k=5)][:2] == [(0, 1), (2, 2)]
    assert opened.snapshot.current.model.fingerprint == TWO


def test_probabilities_rise_and_tell_rare_distances_apart():
    counts = np.bincount(np.random.default_rng(0).binomial(64, 0.5, 20_000), minlength=65)
    found = chance_of(counts).null().within
    assert (np.diff(found[:60]) > 0).all()
    assert found[32] == pytest.approx(0.55, abs=0.05)
    plain = independent_null(64).within
    assert found[:33] == pytest.approx(plain[:33], rel=1)
    assert 0 < found[0] < 1e-12


def test_the_probability_is_that_of_unrelated_items_where_related_ones_are_near():
    generator = np.random.default_rng(0)
    unrelated, related = generator.binomial(64, 0.5, 18_000), generator.binomial(64, 0.02, 2_000)
    counts = np.bincount(np.concatenate([unrelated, related]), minlength=65)
    found = chance_of(counts).null().within
    assert found[2] < 1e-9  # though a tenth of all pairs lie within it


def test_when_all_items_are_of_one_model_chance_is_measured_among_them(path, searcher):
    mixed = searcher.snapshot.current
    assert mixed.chance is not None
    collection = Collection.open(path)
    collection.remove(collection.codes("code")[0])
    alone = searcher.snapshot.current
    assert len(alone) == NEW
    assert alone.chance.share.sum() == pytest.approx(1.0)
    assert round(alone.chance.share[alone.chance.share > 0].min() * NEW * (NEW - 1) / 2) >= 1  # every pair counted


def test_the_line_of_a_merged_answer_is_of_all_its_models(searcher):
    answer = searcher.ask(words(5), Options(OLD + NEW))
    assert [verdict.basis for verdict in answer.verdicts] == ["chance", "chance"]
    assert answer.headline.startswith("no match")  # random codes
    assert searcher.ask(words(5), Options(20, max_distance="auto")).hits == []
    ids = searcher.collection.codes("code")[0][:1].tolist()
    before = searcher.tables[ONE]
    searcher.tables[ONE] = BinaryCodes.concatenate([before[:5], searcher.snapshot.shards[1].codes_of(ids), before[6:]])
    near = searcher.ask(words(5), Options(20))
    assert near.hits[0].id == ids[0]
    assert near.is_above(near.hits[0])
    assert near.line == 1
    assert [hit.id for hit in searcher.ask(words(5), Options(20, max_distance="auto")).hits] == ids
