"""Margins calibrated into probabilities: they come true, rise with the margin, and travel as plain data."""

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.isotonic import IsotonicRegression

from deephash.codes import BinaryCodes
from deephash.collection.bit_certainty import FILE_NAME, BitCertainty, load_certainty, save_certainty
from deephash.errors import CollectionDamaged, UsageError
from deephash.scoring.bit_certainty import agreements


def drawn(rows=4000, bits=16, scale=2.0, seed=0):
    """Continuous codes whose bits another view has with probability Phi(|v| / scale), and whether it has."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((rows, bits)) * 3
    return values, (draw.random(values.shape) < ndtr(np.abs(values) / scale)).astype(float)


def test_calibrated_probabilities_come_true_on_other_rows():
    table = BitCertainty.calibrated(*drawn(), "simulated")
    values, kept = drawn(seed=1)
    found = table.probabilities(values)
    sure = np.maximum(found, 1 - found)
    for low in np.arange(0.5, 1, 0.1):
        here = (sure >= low) & (sure < low + 0.1)
        assert kept[here].mean() == pytest.approx(sure[here].mean(), abs=0.02)
    assert np.array_equal(found >= 0.5, values >= 0)
    order = np.argsort(np.abs(values), axis=None)
    assert (np.diff(sure.ravel()[order]) >= 0).all()
    assert table.noise == pytest.approx(2.0, abs=0.3)  # where Phi(|v| / 2) is Phi(1)


def test_the_steps_are_those_of_scikit_learn():
    values, kept = drawn(rows=300)
    table = BitCertainty.calibrated(values, kept)
    order = np.argsort(np.abs(values), axis=None, kind="stable")
    parts = np.array_split(order, 48)
    means = [kept.ravel()[part].mean() for part in parts]
    sizes = [len(part) for part in parts]
    rising = IsotonicRegression().fit_transform(np.arange(48), means, sample_weight=sizes)
    places = [np.abs(values).ravel()[part].mean() for part in parts]
    said = table.probabilities(np.array(places)[None])[0]
    assert said == pytest.approx(np.clip(rising, 0.5, 1 - 0.5 / (np.array(sizes) + 1)), abs=1e-9)


def test_bits_that_vary_among_right_answers_are_not_sure_however_large_their_margin():
    values, _ = drawn()
    table = BitCertainty.calibrated(values, np.full(values.shape, 0.4))
    assert table.of_rows(values) == pytest.approx(0)
    assert table.noise is None


def test_what_is_usual_is_reached_by_95_percent_of_the_known_rows():
    values, kept = drawn()
    table = BitCertainty.calibrated(values, kept)
    assert (table.of_rows(values) >= table.usual).mean() == pytest.approx(0.95, abs=0.001)


def test_agreement_is_that_of_a_loop_over_right_answers():
    draw = np.random.default_rng(3)
    codes, answers = (BinaryCodes.from_bits(draw.random((count, 5)) < 0.5) for count in (6, 9))
    asked, answered = draw.integers(0, 3, 6), draw.integers(0, 2, 9)
    shares, found = agreements(codes, asked, answers, answered)
    for i in range(6):
        right = [j for j in range(9) if asked[i] == answered[j]]
        assert found[i] == bool(right)
        for k in range(5):
            if right:
                same = [codes.bits()[i, k] == answers.bits()[j, k] for j in right]
                assert shares[i, k] == pytest.approx(np.mean(same))


def test_it_travels_as_plain_data(tmp_path):
    table = BitCertainty.calibrated(*drawn(), "simulated")
    save_certainty(tmp_path, {"image": table, "text": BitCertainty.gaussian()})
    found = load_certainty(tmp_path)
    assert found["image"].to_record() == table.to_record()
    assert found["text"].probabilities([[1.0]]) == pytest.approx(ndtr(1.0))
    assert load_certainty(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize(
    "table",
    [
        '{"kind": "margins", "margins": [0, 1], "agreement": [0.9, 0.6], "usual": 0.5, "rows": 1, "source": ""}',
        '{"kind": "margins", "margins": [0], "agreement": [0.5, 0.6], "usual": 0.5, "rows": 1, "source": ""}',
        '{"kind": "margins", "margins": [], "agreement": [], "usual": 0.5, "rows": 1, "source": ""}',
        '{"kind": "margins", "margins": [0, 1], "agreement": [0.5, 7], "usual": 0.5, "rows": 1, "source": ""}',
        '{"kind": "margins", "margins": [0, 1], "agreement": [0.5, 1], "usual": NaN, "rows": 1, "source": ""}',
        '{"kind": "dice"}',
    ],
)
def test_a_file_that_was_tampered_with_is_refused(tmp_path, table):
    (tmp_path / FILE_NAME).write_text(f'{{"format_version": 1, "tables": {{"image": {table}}}}}')
    with pytest.raises(CollectionDamaged, match="remove that file"):
        load_certainty(tmp_path)


def test_a_later_version_is_left_alone(tmp_path):
    (tmp_path / FILE_NAME).write_text('{"format_version": 2, "strange": true}')
    assert load_certainty(tmp_path) == {}


def test_bad_input_is_refused_and_little_is_no_table():
    values, kept = drawn(rows=20)
    with pytest.raises(UsageError, match="NaN"):
        BitCertainty.calibrated(np.full(values.shape, np.nan), kept)
    with pytest.raises(UsageError, match="one shape"):
        BitCertainty.calibrated(values, kept[:5])
    with pytest.raises(UsageError, match="shares of agreement"):
        BitCertainty.calibrated(values, kept + 1)
    with pytest.raises(UsageError, match="NaN"):
        BitCertainty.gaussian().probabilities([[np.nan]])
    assert BitCertainty.calibrated(values[:2], kept[:2]) is None
