"""Search asks its index for codes: one that keeps them elsewhere, as a server engine does, never hands out all."""

import pytest

from deephash.errors import UsageError
from deephash.search import Options, Part, Query, Searcher
from deephash.search.snapshot import Snapshot
from tests.unit.test_search_searcher import build

COUNT, MOST = 60_000, 20_000


class Elsewhere:
    """An index that answers, and sends at most ``MOST`` codes at a time."""

    def __init__(self, index):
        self._index, self.sent = index, []

    def __getattr__(self, name):
        return getattr(self._index, name)

    def __len__(self):
        return len(self._index)

    def codes_of(self, ids):
        self.sent.append(len(ids))
        assert len(ids) <= MOST
        return self._index.codes_of(ids)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("elsewhere") / "x.dh"
    build(made, COUNT)
    return made


@pytest.mark.parametrize("query", [
    Query.of(Part("item", 7)),
    Query("items", (Part("item", 7), Part("item", 11, -0.5))),
])  # fmt: skip
@pytest.mark.parametrize("options", [Options(20), Options(20, where="label = b"), Options(20, max_distance=3)])
def test_answers_are_those_of_codes_in_memory(path, query, options):
    here, there = Searcher.open(path, index="scan"), Searcher.open(path, index="scan").still()
    elsewhere = Elsewhere(here.snapshot.current.index)
    object.__setattr__(there.snapshot.current, "index", elsewhere)
    mine, theirs = here.ask(query, options), there.ask(query, options)
    assert [hit.to_record() for hit in theirs.hits] == [hit.to_record() for hit in mine.hits]
    assert theirs.counts.tolist() == mine.counts.tolist()
    assert str(theirs.chance) == str(mine.chance)
    assert theirs.codes == mine.codes
    assert (theirs.total, theirs.num_bits) == (COUNT, mine.num_bits)
    assert len(elsewhere.sent) >= 3  # the query's code, those of the hits, pairs for the chance level


def test_an_item_that_is_not_there_is_named_with_the_collection(path):
    snapshot = Snapshot.of(Searcher.open(path).collection, "scan")
    with pytest.raises(UsageError, match=rf"x.dh has no item 60001; it holds {COUNT:,} items"):
        snapshot.codes_of([3, 60_001])
