"""Composed queries: the identities and the analytic toy of the method's specification."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.composition import ComposedQuery, add_words, asymmetric_distances

slider = st.floats(-2, 2)


def random_query(seed=0, width=32):
    v, t0, t1 = np.random.default_rng(seed).standard_normal((3, width))
    return ComposedQuery(v, t0, t1)


def test_corners_are_the_three_vectors():
    query = random_query()
    np.testing.assert_allclose(query.at(beta=1, alpha_text=1, alpha_image=7), query.worded)
    np.testing.assert_allclose(query.at(beta=0, alpha_image=0, alpha_text=7), query.picture)
    np.testing.assert_allclose(query.at(beta=1, alpha_text=0), query.plain)


@given(a=slider, b=slider, beta=slider)
def test_formula_as_published(a, b, beta):
    query = random_query(1)
    change = query.worded - query.plain
    text, image = query.plain + a * change, query.picture + b * change
    np.testing.assert_allclose(
        query.at(alpha_text=a, alpha_image=b, beta=beta), (1 - beta) * image + beta * text, atol=1e-12
    )


def test_an_empty_prompt_makes_alpha_irrelevant():
    v, t0, _ = np.random.default_rng(2).standard_normal((3, 16))
    query = ComposedQuery(v, t0, t0)
    np.testing.assert_array_equal(query.at(alpha_text=3, alpha_image=-1, beta=0.3), query.at(beta=0.3))
    assert query.nearest_alpha_image() == 0


@given(a=slider, b=slider, beta=st.floats(0, 1), seed=st.integers(0, 99))
def test_slider_on_codes_equals_encoding_the_mixture_again(a, b, beta, seed):
    """An affine head applied to phi equals phi of the head's outputs, to 1e-6, bias counted once."""
    draw = np.random.default_rng(seed)
    weights, bias = draw.standard_normal((32, 24)), draw.standard_normal(24)
    query = random_query(seed)
    served = ComposedQuery(*(x @ weights + bias for x in (query.picture, query.plain, query.worded)))
    again = query.at(alpha_text=a, alpha_image=b, beta=beta) @ weights + bias
    np.testing.assert_allclose(served.at(alpha_text=a, alpha_image=b, beta=beta), again, atol=1e-6)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_analytic_toy():
    """Orthonormal attributes; reference e1 + e2, wanted e1 + e3, texts carry the same words and a modality offset g."""
    e1, e2, e3, g = np.eye(6)[:4]
    reference, target = (e1 + e2) / 2**0.5, (e1 + e3) / 2**0.5
    plain, worded = e1 + e2 + g, e1 + e3 + g
    query = ComposedQuery(reference, plain / 3**0.5, worded / 3**0.5)
    assert cosine(query.worded, target) == pytest.approx(0.816, abs=1e-3)
    assert cosine(query.at(beta=0, alpha_image=1), target) == pytest.approx(0.985, abs=1e-3)
    assert cosine(query.at(beta=0, alpha_image=1.4), target) == pytest.approx(0.993, abs=1e-3)
    axes = np.eye(6)
    gallery = [axes[i] + axes[j] for i in range(6) for j in range(i) if 3 not in (i, j)]  # every pair of attributes
    points = (query.worded, query.at(beta=0, alpha_image=1), query.at(beta=0, alpha_image=1.4))
    for point, margin in zip(points, (0.408, 0.343, 0.463), strict=True):
        nearest = sorted((cosine(point, item) for item in gallery), reverse=True)
        assert nearest[0] == pytest.approx(cosine(point, target))
        assert nearest[0] - nearest[1] == pytest.approx(margin, abs=1e-3)
    at_one = max((item for item in gallery if item @ target < 1.4), key=lambda item: cosine(points[1], item))
    np.testing.assert_array_equal(at_one, e1 + e2)  # the reference itself comes second: leave it out, as CIRR does


def test_closest_alpha_minimises_the_gap():
    query = random_query(3)
    best = query.nearest_alpha_image(alpha_text=1.2)
    text = query.at(beta=1, alpha_text=1.2)
    gap = lambda a: np.linalg.norm(query.at(beta=0, alpha_image=a) - text)  # noqa: E731
    assert gap(best) < min(gap(best + 0.01), gap(best - 0.01))


def test_words_are_added_and_taken_away_along_their_difference_to_nothing():
    base, neutral, dog, people = np.random.default_rng(4).standard_normal((4, 8))
    both = add_words(base, neutral, [dog], [people], strength=0.5)
    np.testing.assert_allclose(both, base + 0.5 * (dog - neutral) - 0.5 * (people - neutral))
    np.testing.assert_allclose(add_words(add_words(base, neutral, [dog]), neutral, minus=[dog]), base)
    np.testing.assert_array_equal(add_words(base, neutral), base)


@given(bits=st.integers(1, 40), seed=st.integers(0, 99))
def test_asymmetric_distance_is_minus_the_inner_product(bits, seed):
    draw = np.random.default_rng(seed)
    gallery = BinaryCodes.from_bits(draw.integers(0, 2, (11, bits)))
    queries = draw.standard_normal((3, bits))
    np.testing.assert_allclose(asymmetric_distances(queries, gallery), -queries @ gallery.signs().T, atol=1e-9)
    signs = gallery.signs()[:2]
    np.testing.assert_allclose(asymmetric_distances(signs, gallery), 2 * gallery[:2].hamming(gallery) - bits)


def test_lengths_must_agree():
    with pytest.raises(UsageError, match="one length"):
        ComposedQuery(np.zeros(3), np.zeros(4), np.zeros(3))
    with pytest.raises(UsageError, match="5 values"):
        asymmetric_distances(np.zeros(5), BinaryCodes.from_bits(np.zeros((2, 6), int)))
