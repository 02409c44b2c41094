"""Querybank normalisation: identities of the inverted softmax, and codes against the full matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.hubness_measures import measures_of_occurrence
from deephash.index.querybank import (
    HubCorrection,
    activation_set,
    active_items,
    bank_histograms,
    corrected_by_rank,
    csls,
    csls_biases,
    dynamic_inverted_softmax,
    globally_corrected,
    hub_biases,
    inverted_softmax,
)


def ranks(scores):
    return np.argsort(-scores, axis=1, kind="stable")


@pytest.fixture
def scores():
    draw = np.random.default_rng(0)
    return draw.uniform(-1, 1, (40, 30)), draw.uniform(-1, 1, (50, 30))


def codes(count, bits, seed, hub=None):
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((count, bits))
    return BinaryCodes.from_continuous(values if hub is None else values + hub)


def test_inverted_softmax_is_the_naive_quotient(scores):
    similarities, probe = scores
    naive = np.empty_like(similarities)
    for q in range(len(similarities)):
        for j in range(30):
            naive[q, j] = np.exp(20 * similarities[q, j]) / np.exp(20 * probe[:, j]).sum()
    corrected = inverted_softmax(similarities, probe)
    assert (ranks(corrected) == ranks(naive)).all()
    np.testing.assert_allclose(np.exp(corrected) / 50, naive, rtol=1e-9)


def test_large_scales_do_not_overflow(scores):
    similarities, probe = scores
    assert np.isfinite(inverted_softmax(100 * similarities, 100 * probe)).all()


def test_repeating_the_bank_changes_nothing(scores):
    similarities, probe = scores
    twice = np.concatenate([probe, probe])
    np.testing.assert_allclose(inverted_softmax(similarities, probe), inverted_softmax(similarities, twice), atol=1e-12)


def test_hub_offsets_cancel_exactly(scores):
    similarities, probe = scores
    offsets = np.random.default_rng(3).uniform(-1, 1, 30)
    np.testing.assert_allclose(
        inverted_softmax(similarities + offsets, probe + offsets), inverted_softmax(similarities, probe), atol=1e-9
    )


def test_limits_of_beta(scores):
    similarities, probe = scores
    cold = inverted_softmax(similarities, probe, beta=1e-4)
    assert (ranks(cold) == ranks(similarities - probe.mean(axis=0))).all()
    hot = inverted_softmax(similarities, probe, beta=1e5)
    assert (ranks(hot) == ranks(similarities - probe.max(axis=0))).all()


def test_dynamic_form_is_raw_or_corrected_by_row(scores):
    similarities, probe = scores
    dynamic = dynamic_inverted_softmax(similarities, probe)
    active = activation_set(probe)
    assert set(probe.argmax(axis=1)) == set(np.flatnonzero(active))
    corrected = inverted_softmax(similarities, probe)
    for row in range(len(similarities)):
        expected = corrected if active[similarities[row].argmax()] else similarities
        np.testing.assert_array_equal(dynamic[row], expected[row])
    everything = dynamic_inverted_softmax(similarities, probe, top_k=30)
    np.testing.assert_array_equal(everything, corrected)


def test_inputs_are_left_alone(scores):
    similarities, probe = scores
    before = similarities.copy(), probe.copy()
    dynamic_inverted_softmax(similarities, probe)
    csls(similarities, probe)
    globally_corrected(similarities, probe)
    np.testing.assert_array_equal(similarities, before[0])
    np.testing.assert_array_equal(probe, before[1])


def test_csls_and_global_correction_against_loops(scores):
    similarities, probe = scores
    local, ranked = csls(similarities, probe), globally_corrected(similarities, probe)
    for q in range(5):
        for j in range(30):
            own, item = np.sort(similarities[q])[-10:].mean(), np.sort(probe[:, j])[-10:].mean()
            assert local[q, j] == pytest.approx(2 * similarities[q, j] - own - item)
            assert np.ceil(ranked[q, j] - 0.5) == -(probe[:, j] > similarities[q, j]).sum()


def test_a_bank_of_another_gallery_is_refused(scores):
    similarities, probe = scores
    with pytest.raises(UsageError, match="30 gallery items"):
        inverted_softmax(similarities, probe[:, :29])
    with pytest.raises(UsageError, match="bank is empty"):
        hub_biases(codes(3, 8, 0), codes(3, 8, 0)[:0])


@settings(max_examples=20, deadline=None)
@given(bits=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_bias_on_codes_ranks_as_inverted_softmax_of_the_similarity_matrix(bits, seed):
    gallery, bank, queries = codes(20, bits, seed), codes(15, bits, seed + 1), codes(4, bits, seed + 2)
    similarity = 1 - 2 * queries.hamming(gallery) / bits
    probe = 1 - 2 * bank.hamming(gallery) / bits
    additive = queries.hamming(gallery) + hub_biases(gallery, bank)
    exact = -inverted_softmax(similarity, probe) * bits / 40
    np.testing.assert_allclose(additive - additive[:, :1], exact - exact[:, :1], atol=1e-3)
    local = queries.hamming(gallery) + csls_biases(gallery, bank, neighbours=5)
    exact = -csls(similarity, probe, neighbours=5) * bits / 4
    np.testing.assert_allclose(local - local[:, :1], exact - exact[:, :1], atol=1e-3)


def test_rank_correction_of_codes_equals_the_float_form():
    gallery, bank, queries = codes(25, 16, 0), codes(40, 16, 1), codes(6, 16, 2)
    histograms = bank_histograms(gallery, bank)
    assert (histograms.sum(axis=1) == 40).all()
    distances = queries.hamming(gallery)
    corrected = corrected_by_rank(distances, histograms)
    nearer = (bank.hamming(gallery)[None] < distances[:, None]).sum(axis=1)
    np.testing.assert_array_equal(np.floor(corrected), nearer)


class Scan:
    """A flat index by brute force: the oracle's side of the protocol."""

    def __init__(self, ids, gallery):
        self.ids, self.gallery, self.fetched = ids, gallery, []

    def __len__(self):
        return len(self.ids)

    def search(self, queries, k, *, allowed=None):
        self.fetched.append(k)
        keep = np.arange(len(self.ids)) if allowed is None else np.flatnonzero(np.isin(self.ids, allowed))
        distances = queries.hamming(self.gallery[keep])[0]
        order = np.lexsort((self.ids[keep], distances))[:k]
        return Found(self.ids[keep][order][None], distances[order][None])


class Found:
    def __init__(self, ids, distances):
        self.ids, self.distances = ids, distances


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("bits", [8, 32])
def test_rescoring_a_shortlist_equals_the_full_matrix(bits, dynamic):
    hub = 0.8 * np.random.default_rng(9).standard_normal(bits)
    gallery, bank, queries = codes(2000, bits, 0, hub), codes(300, bits, 1, hub), codes(25, bits, 2)
    ids = np.arange(2000, dtype=np.int64) * 3 + 5
    active = active_items(gallery, bank) if dynamic else None
    correction = HubCorrection(ids, 3 * hub_biases(gallery, bank), active)
    index = Scan(ids, gallery)
    for row, (found, corrected, distances) in enumerate(correction.search(index, queries, 10)):
        plain = queries[row].hamming(gallery)[0].astype(float)
        applies = active is None or active[plain == plain.min()].any()
        full = plain + (correction.biases if applies else 0)
        order = np.lexsort((ids, full))[:10]
        np.testing.assert_array_equal(found, ids[order])
        np.testing.assert_allclose(corrected, full[order])
        np.testing.assert_array_equal(distances, plain[order])
    if bits == 32 and not dynamic:
        assert min(index.fetched) < 2000, "every search read the whole gallery"


def test_a_filter_and_missing_biases():
    gallery = codes(50, 16, 0)
    ids = np.arange(50, dtype=np.int64)
    correction = HubCorrection(ids, np.zeros(50, np.float32))
    allowed = np.array([3, 7, 9], dtype=np.int64)
    found, _, _ = correction.search(Scan(ids, gallery), gallery[:1], 10, allowed=allowed)[0]
    assert sorted(found) == [3, 7, 9]
    with pytest.raises(UsageError, match="without a hub bias"):
        HubCorrection(ids[:40], np.zeros(40, np.float32)).search(Scan(ids, gallery), gallery[45:46], 50)
    with pytest.raises(UsageError, match="ids ascending"):
        HubCorrection(ids[::-1].copy(), np.zeros(50, np.float32))


def test_toy_with_hubs_gains_recall_and_loses_skewness():
    draw = np.random.default_rng(0)
    shared = draw.standard_normal((700, 48))
    offset = 2.0 * draw.standard_normal((700, 1)) * np.ones(48) / 7  # some items lean towards every query
    queries = shared + 0.8 * draw.standard_normal(shared.shape) + 0.6
    items = shared + 0.5 * draw.standard_normal(shared.shape) + offset
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)  # noqa: E731
    similarity = unit(queries[:200]) @ unit(items[:200]).T
    probe = unit(queries[200:]) @ unit(items[:200]).T
    recall = lambda scores: (scores.argmax(axis=1) == np.arange(200)).mean()  # noqa: E731
    corrected = inverted_softmax(similarity, probe)
    assert recall(corrected) > recall(similarity) + 0.02
    occurrence = lambda scores: np.bincount(np.argsort(-scores)[:, :10].ravel(), minlength=200)  # noqa: E731
    assert (
        measures_of_occurrence(occurrence(corrected), 10).skewness
        < measures_of_occurrence(occurrence(similarity), 10).skewness
    )
