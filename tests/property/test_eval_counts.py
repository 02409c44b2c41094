"""Counts: three engines, one answer; free of database order; inputs stay as they were."""

import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.averaging import UnanswerableQueries
from deephash.evaluation.counts import count_blocks, distance_counts, takes_numba
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.relevance import IGNORED, relevance_from_labels
from deephash.evaluation.torch_counts import torch_distance_counts
from tests import evaluation_naive as naive

CASES = st.tuples(
    st.integers(0, 10_000), st.integers(1, 5), st.integers(4, 40), st.integers(1, 140), st.sampled_from([0, 3, 70])
)


@given(CASES)
@settings(max_examples=40, deadline=None)
def test_engines_agree_with_a_plain_loop(case):
    query, database, query_labels, database_labels = naive.random_sides(*case)
    relevance = relevance_from_labels(query_labels, database_labels)
    codes = BinaryCodes.from_bits(query), BinaryCodes.from_bits(database)
    distances, gains = naive.distances_between(query, database), naive.gains_between(query_labels, database_labels)
    slow = np.zeros((len(query), relevance.max_gain + 1, query.shape[1] + 1), np.int64)
    rows = np.broadcast_to(np.arange(len(query))[:, None], distances.shape)
    np.add.at(slow, (rows, gains, distances), 1)
    for engine in ("numpy", "numba"):
        np.testing.assert_array_equal(distance_counts(*codes, relevance, engine=engine).by_gain, slow)
    on_device = torch_distance_counts(
        torch.tensor(query).bool(),
        torch.tensor(database).bool(),
        torch.tensor(query_labels),
        torch.tensor(database_labels),
    )
    np.testing.assert_array_equal(on_device.by_gain, slow)


@given(CASES)
@settings(max_examples=20, deadline=None)
def test_counts_do_not_depend_on_database_order(case):
    query, database, query_labels, database_labels = naive.random_sides(*case)
    order = np.random.default_rng(case[0]).permutation(len(database))
    codes = BinaryCodes.from_bits(query), BinaryCodes.from_bits(database)
    relevance = relevance_from_labels(query_labels, database_labels)
    first = distance_counts(*codes, relevance)
    second = distance_counts(codes[0], codes[1][order], relevance.reordered(order))
    np.testing.assert_array_equal(first.by_gain, second.by_gain)
    assume(first.num_relevant.any())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnanswerableQueries)  # some draws have queries without a relevant item
        one = metrics.mean_average_precision(
            query, database, query_labels=query_labels, database_labels=database_labels
        )
        two = metrics.mean_average_precision(
            query, database[order], query_labels=query_labels, database_labels=database_labels[order]
        )
    assert one == two


def test_blocks_of_queries_and_threads_change_nothing(monkeypatch):
    query, database, query_labels, database_labels = naive.random_sides(1, 200, 3000, 64)
    codes = BinaryCodes.from_bits(query), BinaryCodes.from_bits(database)
    relevance = relevance_from_labels(query_labels, database_labels)
    whole = distance_counts(*codes, relevance, engine="numpy")
    for engine, threads in (("numba", 1), ("numba", 3), ("numpy", None)):
        monkeypatch.setattr("deephash.evaluation.counts.COUNTS_BYTES", 1)  # 64 queries a block
        blocks = list(count_blocks(*codes, relevance, engine=engine, threads=threads))
        assert [rows.start for rows, _ in blocks] == [0, 64, 128, 192]
        np.testing.assert_array_equal(np.concatenate([part.by_gain for _, part in blocks]), whole.by_gain)


def test_numba_is_imported_only_where_it_pays(monkeypatch):
    monkeypatch.delitem(sys.modules, "deephash.evaluation.kernels", raising=False)
    assert not takes_numba("auto", 50_000_000)
    assert takes_numba("auto", 500_000_000)
    monkeypatch.setitem(sys.modules, "deephash.evaluation.kernels", object())
    assert takes_numba("auto", 50_000_000)
    assert not takes_numba("auto", 1_000)
    monkeypatch.setattr("deephash.evaluation.counts.find_spec", lambda _: None)  # a machine without Numba
    assert not takes_numba("auto", 500_000_000)


def test_several_levels_are_summed():
    bits = np.random.default_rng(0).integers(0, 2, (40, 2, 12))
    codes = BinaryCodes.from_bits(bits)
    labels = np.arange(40) % 3
    counts = distance_counts(codes[:4], codes, relevance_from_labels(labels[:4], labels))
    flat = bits.reshape(40, -1)
    distances = naive.distances_between(flat[:4], flat)
    assert counts.by_gain.shape == (4, 2, 25)
    for row in range(4):
        np.testing.assert_array_equal(counts.items[row], np.bincount(distances[row], minlength=25))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: [t[0].float(), *t[1:]], "boolean"),
        (lambda t: [t[0][:, :3], *t[1:]], "cannot be compared"),
        (lambda t: [*t[:3], torch.eye(5)], "both sides"),
        (lambda t: [*t[:3], t[3][:4]], "each code needs its label"),
        (lambda t: [*t[:3], t[3].to("meta")], "one device"),
    ],
)
def test_torch_counts_say_what_is_wrong(spoil, message):
    tensors = [torch.ones(2, 4).bool(), torch.ones(5, 4).bool(), torch.zeros(2).long(), torch.zeros(5).long()]
    with pytest.raises(UsageError, match=message):
        torch_distance_counts(*spoil(tensors))


def test_torch_counts_are_exact_under_autocast():
    """Training in bfloat16 would round the products of long codes, and with them the distances."""
    draw = np.random.default_rng(0)
    query, database = (torch.from_numpy(draw.random((count, 1024)) < 0.5) for count in (3, 40))
    labels = torch.arange(3), torch.arange(40) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch_distance_counts(query, database, *labels)
    codes = (BinaryCodes.from_bits(side.numpy()) for side in (query, database))
    expected = distance_counts(*codes, relevance_from_labels(*(side.numpy() for side in labels)))
    np.testing.assert_array_equal(found.by_gain, expected.by_gain)


def test_listed_pairs():
    query, database, *_ = naive.random_sides(4, 3, 30, 9)
    pairs = ListedPairs.from_lists([[1, 2], [], [29]], 30, gains=[[1, 3], [], [2]], ignored=[[0], [5, 6], []])
    counts = distance_counts(BinaryCodes.from_bits(query), BinaryCodes.from_bits(database), pairs)
    distances, gains = naive.distances_between(query, database), pairs.gains()
    for row in range(3):
        for gain in range(4):
            kept = distances[row][gains[row] == gain]
            np.testing.assert_array_equal(counts.by_gain[row, gain], np.bincount(kept, minlength=10))
    np.testing.assert_array_equal(counts.num_items, [29, 28, 30])
    assert counts.unanswerable == 1
    np.testing.assert_array_equal(gains[1], np.where(np.isin(np.arange(30), [5, 6]), IGNORED, 0))


FACES = [
    metrics.mean_average_precision,
    metrics.mean_average_precision_within_radius,
    metrics.precision_within_radius,
    metrics.precision_recall_by_radius,
    metrics.precision_recall_by_rank,
    metrics.ndcg_at,
    metrics.mean_weighted_average_precision,
]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("labels", [0, 4])
def test_inputs_are_never_changed_and_may_be_read_only(face, labels):
    arrays = naive.random_sides(2, 4, 30, 8, labels)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    face(*arrays[:2], query_labels=arrays[2], database_labels=arrays[3])
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_bits_signs_booleans_and_packed_codes_are_one_thing():
    query, database, query_labels, database_labels = naive.random_sides(2, 4, 30, 11)
    labels = {"query_labels": query_labels, "database_labels": database_labels}
    forms = [
        (query, database),
        (query * 2 - 1, database * 2.0 - 1),
        (query.astype(bool), database),
        (BinaryCodes.from_bits(query), database.astype(np.uint8)),
    ]
    values = {metrics.mean_average_precision(*form, **labels) for form in forms}
    assert len(values) == 1
