"""Mean, spread and interval over seeds, held against scipy.stats."""

import numpy as np
import pytest

from deephash.reports.spread import spread_of


@pytest.mark.parametrize("values", [(0.5, 0.6), (0.9912, 0.9886, 0.9820), (0.1, 0.2, 0.4, 0.3, 0.9)])
def test_interval_is_students(values):
    from scipy import stats

    found = spread_of(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))


def test_one_value_has_no_spread():
    found = spread_of([0.25])
    assert (found.mean, found.spread, found.low, found.high) == (0.25, None, None, None)
    assert str(found) == "0.2500"
    assert str(spread_of([0.2, 0.4])) == "0.3000 ± 0.1414"
