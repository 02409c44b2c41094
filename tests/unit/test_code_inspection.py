"""What is wrong with codes is said in words: dead bits, classes with one code, crowds on few codes, a collapse."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.evaluation.inspection import inspect_codes

RNG = np.random.default_rng(0)
SPREAD = RNG.random((600, 32)) < 0.5


def said(bits, **about):
    return inspect_codes(BinaryCodes.from_bits(np.asarray(bits)), **about)


def test_of_good_codes_nothing_is_said():
    assert said(SPREAD) == []
    labels = np.arange(600) % 10
    assert said(SPREAD[labels], labels=labels, supervised=True) == []  # a code a class is what was wanted


def test_dead_bits_are_named():
    bits = SPREAD.copy()
    bits[:, 3], bits[:, 30] = True, False
    assert said(bits)[0].startswith("2 of 32 bits are dead, with one value in all codes: 3, 30 (counted from 0)")


def test_a_collapsed_model_is_told_in_plain_words():
    (sentence,) = said(np.ones((600, 32), dtype=bool), labels=np.arange(600) % 10, supervised=True)
    assert sentence.startswith("all 600 items have the same code: the model collapsed")


def test_crowds_on_few_codes_are_told_with_their_share():
    bits = SPREAD.copy()
    bits[:444] = SPREAD[np.arange(444) % 4]  # 74 % of 600
    assert said(bits) == ["74% of items share 4 codes: a search cannot order them"]
    labels = np.arange(600) % 10
    crowded = said(SPREAD[labels % 3], labels=labels, supervised=True)
    assert crowded[0] == "100% of items share 3 codes, and there are 10 classes: a search cannot order them"
    assert "0 = 3 = 6 = 9" in crowded[1]


def test_a_large_class_may_fill_a_code():
    labels = np.where(np.arange(600) < 540, 0, np.arange(600) % 10)
    assert said(SPREAD[labels], labels=labels, supervised=True) == []


def test_classes_with_one_code_are_named():
    labels = np.arange(600) % 10
    merged = np.where(labels == 7, 1, labels)
    names = [f"digit {number}" for number in range(10)]
    (sentence,) = said(SPREAD[merged], labels=labels, supervised=True, class_names=names)
    assert sentence.endswith("digit 1 = digit 7")


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_item_nothing_can_be_said(count):
    assert said(SPREAD[:count]) == []
