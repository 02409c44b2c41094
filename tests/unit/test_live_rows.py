"""Rows that are prepared alike each time are prepared once, as far as a budget of bytes reaches."""

import numpy as np
import pytest
import torch

from deephash.backbones import Backbone
from deephash.data import Digits
from deephash.data.live_rows import PreparedRows
from deephash.models import OrthoHash


def test_a_row_is_made_once_until_the_budget_is_spent():
    made = []

    def make(row):
        made.append(row)
        return torch.full((4,), float(row))

    memory = PreparedRows(budget=40)  # two rows of 16 bytes, not three
    for row in (5, 6, 7, 5, 6, 7):
        assert memory.get(row, make).tolist() == [row] * 4
    assert made == [5, 6, 7, 7]


def counted(data):
    """Let the pictures of a data set be counted; returns the list of rows that were opened."""
    opened, source = [], data.table.sources["image"]

    def open_one(row):
        opened.append(row)
        return source(row)

    data.table.sources["image"] = open_one
    return opened


def network(side=16, bits=16):
    return OrthoHash(bits, 10, Backbone("small_cnn:8", weights=None, frozen=False, image_size=side))


@pytest.mark.parametrize(("augment", "again"), [("none", 0), ("flip", 100)])
def test_pictures_that_nothing_random_happens_to_are_read_once(augment, again):
    data = Digits(batch_size=100)
    data.augment = augment
    data.setup()
    data.attach(network())
    opened = counted(data)
    batches = [next(iter(data.batches("train", batch_size=100)))["image"] for _ in range(2)]
    assert torch.equal(*batches)
    assert len(opened) == 100
    data.attach(network(bits=32))  # prepares pictures alike
    list(data.batches("train", batch_size=100))
    before = len(opened)
    next(iter(data.train_dataloader()))
    assert len(opened) - before == again


def test_a_network_that_sees_other_pixels_has_rows_of_its_own():
    data = Digits(batch_size=50)
    data.setup()
    for side in (16, 24):
        data.attach(network(side))
        shape = next(iter(data.batches("query", batch_size=8)))["image"].shape
        assert tuple(shape) == (8, 3, side, side)


def test_rows_in_memory_are_not_changed_by_what_is_done_to_a_batch():
    data = Digits(batch_size=50)
    data.setup()
    data.attach(network())
    first = next(iter(data.batches("query", batch_size=8)))["image"]
    kept = first.clone()
    first.zero_()
    again = next(iter(data.batches("query", batch_size=8)))["image"]
    assert np.array_equal(again.numpy(), kept.numpy())
