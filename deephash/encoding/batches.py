"""Codes of any number of rows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from deephash.codes import BinaryCodes
from deephash.encoding.port import CodeEncoder, Modality, Row


def encode_all(encoder: CodeEncoder, modality: Modality, rows: Iterable[Row], *, batch_size: int = 64) -> BinaryCodes:
    """Return the codes of ``rows``, which are taken as they are needed, a batch at a time."""
    waiting = iter(rows)
    batches = iter(lambda: list(islice(waiting, batch_size)), [])
    codes = [encoder.encode(modality, batch).codes for batch in batches]
    return BinaryCodes.concatenate(codes or [encoder.encode(modality, []).codes])
