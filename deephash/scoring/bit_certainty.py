"""How sure the bits of a trained model are: its validation queries held against the right answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.bit_certainty import BitCertainty
from deephash.data.datamodule import HashDataModule
from deephash.evaluation.relevance import relevance_from_labels
from deephash.models import HashModel
from deephash.scoring.encoding import tasks_of
from deephash.scoring.known_pairs import ANSWERING, ASKING, ValidationCodes
from deephash.scoring.sides import TASKS

BLOCK = 256  # queries at a time
MOST_QUERIES = 2_000


def certainty_of_bits(
    model: HashModel, data: HashDataModule, codes: ValidationCodes | None = None
) -> dict[str, BitCertainty]:
    """Return a table for each modality that asks; never by a query of the test.

    A model that tells by itself how sure its bits are keeps its own, with what is usual. One that does not binarise at
    zero gets none: its continuous codes say nothing of its bits.

    Args:
        model: trained.
        data: set up, with a labelled validation part.
        codes: of both, where somebody has encoded some already.
    """
    if not model.binarises_at_zero:
        return {}
    codes = codes or ValidationCodes(model, data)
    ways = TASKS.values() if tasks_of(model) != ("",) else [(None, None)]
    tables: dict[str, BitCertainty] = {}
    for ask, answer in ways:
        name = ask or next(iter(model.encoders))
        if name not in tables or ask != answer:  # across modalities counts for more than within one
            table = _table(codes, ask, answer)
            tables |= {} if table is None else {name: table}
    return tables


def _table(sides: ValidationCodes, ask: str | None, answer: str | None) -> BitCertainty | None:
    model, data = sides.model, sides.data
    codes, asked = sides.side(ASKING, ask)
    answers, answered = sides.side(ANSWERING, answer)
    if not len(codes) or not len(answers):
        return None
    values = continuous_side(model, data, ASKING, ask)[:MOST_QUERIES]
    source = f"validation part of {data.protocol_name}"
    if model.own_certainty is not None:
        return model.own_certainty.known(values, source)
    agreement, answerable = agreements(codes[:MOST_QUERIES], asked[:MOST_QUERIES], answers, answered)
    return BitCertainty.calibrated(values[answerable], agreement[answerable], source)


def continuous_side(
    model: HashModel, data: HashDataModule, split_name: str, modality: str | None = None
) -> NDArray[np.float32]:
    """Return continuous codes [N, K] (or [N, L, K]) of those items of a split that have ``modality``."""
    data.attach(model)
    names = [modality] if modality else list(model.encoders)
    keys = {key for name in names for key in (name, f"{name}_features")}
    with model.evaluating(), torch.inference_mode():
        parts = [
            model({key: value.to(model.device) for key, value in batch.items() if key in keys}).float().cpu().numpy()
            for batch in data.batches(split_name)
        ]
    values, present = np.concatenate(parts), data.splits[split_name].present
    return values[np.flatnonzero(present[modality])] if modality in present else values


def agreements(
    codes: BinaryCodes, asked: NDArray[Any], answers: BinaryCodes, answered: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what share of the right answers to each query has each of its bits, and which queries have any.

    Args:
        codes: of Q queries.
        asked: their labels, [Q] or [Q, C].
        answers: of N items.
        answered: their labels.
    """
    relevance, theirs = relevance_from_labels(asked, answered), answers.bits().reshape(len(answers), -1)
    mine = codes.bits().reshape(len(codes), -1)
    shares, found = np.full(mine.shape, 0.5), np.zeros(len(codes), bool)
    for start in range(0, len(codes), BLOCK):
        rows = slice(start, start + BLOCK)
        right = (relevance.rows(rows).gains(slice(None)) > 0).astype(np.float64)
        count = right.sum(axis=1)
        ones = right @ theirs / np.maximum(count, 1)[:, None]
        shares[rows], found[rows] = np.where(mine[rows], ones, 1 - ones), count > 0
    return shares.reshape(codes.bits().shape), found
