"""Calibrated relevance: isotonic regression against scikit-learn, and probabilities that come true."""

import json

import numpy as np
import pytest

from deephash.collection.pair_counts import FILE_NAME, PairCounts, load_pair_counts, save_pair_counts
from deephash.errors import CollectionDamaged
from deephash.evaluation.calibration import isotonic, likelihood_ratio, posterior
from deephash.evaluation.counts import DistanceCounts

BITS = 64


def drawn(draw, queries, items, share, near=0.12, far=0.5):
    """Return items and relevant ones at each distance, both [queries, BITS + 1]; distances of beta-binomials."""
    right = draw.binomial(items, share, queries)
    relevant, irrelevant = np.zeros((2, queries, BITS + 1), np.int64)
    for row, count in enumerate(right):
        relevant[row] = np.bincount(
            draw.binomial(BITS, draw.beta(40 * near, 40 - 40 * near, count)), minlength=BITS + 1
        )
        spread = draw.beta(40 * far, 40 - 40 * far, items - count)
        irrelevant[row] = np.bincount(draw.binomial(BITS, spread), minlength=BITS + 1)
    return relevant + irrelevant, relevant


def table_of(items, relevant):
    return PairCounts.of([DistanceCounts.from_items(items, relevant)], source="simulated")


def reliability_error(chances, relevant, items, bins=10):
    place = np.minimum((chances * bins).astype(int), bins - 1)
    error = 0.0
    for each in range(bins):
        here = place == each
        if items[here].sum():
            said = (chances * items)[here].sum() / items[here].sum()
            error += items[here].sum() / items.sum() * abs(said - relevant[here].sum() / items[here].sum())
    return error


def test_isotonic_is_that_of_scikit_learn():
    from sklearn.isotonic import IsotonicRegression

    draw = np.random.default_rng(0)
    for _ in range(50):
        values, weights = draw.random(30), draw.integers(1, 9, 30)
        expected = IsotonicRegression().fit_transform(np.arange(30), values, sample_weight=weights)
        assert isotonic(values, weights) == pytest.approx(expected)


def test_a_likelihood_ratio_falls_and_stays_finite():
    relevant, irrelevant = np.zeros((2, BITS + 1), np.int64)
    relevant[[0, 3, 9]], irrelevant[[8, 30, 31]] = 50, 80
    ratio = likelihood_ratio(relevant, irrelevant)
    assert np.isfinite(ratio).all()
    assert (np.diff(ratio) <= 0).all()
    assert ratio[0] > 10
    assert 0 < ratio[64] < 0.1


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_probabilities_come_true_though_the_share_of_right_items_is_another(share):
    """Known pairs have 10 % of right items; the collection has ``share``: its reliability error is at most .02."""
    draw = np.random.default_rng(1)
    table = table_of(*drawn(draw, 150, 1500, 0.1, near=0.25))
    items, relevant = drawn(draw, 150, 1500, share, near=0.25)
    chances = np.array([table.posterior(each) for each in items])
    assert reliability_error(chances, relevant, items) <= 0.02
    for_some = np.abs(chances - 0.5) < 0.3
    assert items[for_some].sum() > 100  # not all is certain
    assert ((chances > 0) & (chances < 1)).all()
    assert (np.diff(chances, axis=1) <= 0).all()


def test_the_prior_follows_the_query():
    draw = np.random.default_rng(2)
    table = table_of(*drawn(draw, 100, 1000, 0.1))
    few, many = (drawn(draw, 1, 1000, share)[0][0] for share in (0.0, 0.5))
    middle = 18
    assert table.posterior(few)[middle] < 0.5 < table.posterior(many)[middle]
    assert table.posterior(many)[middle] == posterior(likelihood_ratio(table.relevant, table.irrelevant), many)[middle]


def test_a_query_of_another_kind_fits_badly():
    draw = np.random.default_rng(3)
    table = table_of(*drawn(draw, 200, 800, 0.1))
    usual = [table.misfit_of(each) for each in drawn(draw, 100, 800, 0.1)[0]]
    strange = [table.misfit_of(each) for each in drawn(draw, 100, 800, 0.1, far=0.35)[0]]
    assert np.mean(np.array(usual) <= table.misfit) >= 0.95
    assert np.mean(np.array(strange) > table.misfit) >= 0.95


def test_too_few_pairs_are_no_table():
    assert table_of(*drawn(np.random.default_rng(4), 3, 100, 0.0)) is None


def test_what_is_saved_is_what_is_loaded(tmp_path):
    table = table_of(*drawn(np.random.default_rng(5), 20, 300, 0.1))
    save_pair_counts(tmp_path, [table], column="code", fingerprint=None)
    (found,) = load_pair_counts(tmp_path, column="code", fingerprint=None)
    assert found.to_record() == table.to_record()
    assert load_pair_counts(tmp_path, column="code_2") == ()
    assert load_pair_counts(tmp_path / "elsewhere") == ()


@pytest.mark.parametrize(
    "change",
    [
        {"relevant": [1, 2]},
        {"relevant": [0] * 65},
        {"irrelevant": [-1] * 65},
        {"irrelevant": ["many"] * 65},
        {"misfit": 7},
        {"nearest": 1.5},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_table_of_strangers_is_checked(tmp_path, change):
    table = table_of(*drawn(np.random.default_rng(6), 20, 300, 0.1))
    record = {"format_version": 1, "tables": [table.to_record() | change]}
    (tmp_path / FILE_NAME).write_text(json.dumps(record))
    with pytest.raises(CollectionDamaged, match=r"remove that file"):
        load_pair_counts(tmp_path)


def test_a_later_version_is_passed_over(tmp_path):
    (tmp_path / FILE_NAME).write_text(json.dumps({"format_version": 99, "tables": []}))
    assert load_pair_counts(tmp_path) == ()
    (tmp_path / FILE_NAME).write_text(json.dumps({"format_version": 2, "tables": [{"another": "schema"}]}))
    assert load_pair_counts(tmp_path) == ()


def test_tables_of_long_nested_codes_are_read_again(tmp_path):
    counts = np.full(65_537, 1_000_000_000)
    tables = [PairCounts(ask, "image", counts, counts, 9, 0, 0.5) for ask in ("image", "text")]
    save_pair_counts(tmp_path, tables)
    assert [table.query for table in load_pair_counts(tmp_path)] == ["image", "text"]
