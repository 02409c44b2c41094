"""The encoder without torch of a run that is over, measured on items that it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deephash.data.datamodule import HashDataModule
from deephash.encoding.flips import SAMPLE
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.port import Modality, Row
from deephash.encoding.samples import evenly
from deephash.errors import DeephashError
from deephash.models.exporting import compare_with_torch, make_portable


def make_run_portable(folder: Path, data: HashDataModule) -> None:
    """Give the model of a run its encoder without torch, and note how many bits of training items it flips."""
    if "towers" not in make_portable(folder):
        return
    encoder = OnnxEncoder(folder)
    compare_with_torch(folder, {modality: _some_rows(encoder, modality, data) for modality in encoder.modalities})


def _some_rows(encoder: OnnxEncoder, modality: Modality, data: HashDataModule) -> list[Row]:
    """Return what a tower reads of some training items."""
    source = _vectors(data, modality) if encoder.reads_vectors(modality) else data.table.sources.get(modality)
    rows: list[Row] = []
    items = data.splits["train"].rows
    if source is None:  # phrases that only their vectors are known of
        return rows
    for place in evenly(len(items), SAMPLE):
        try:
            rows.append(encoder.prepare(modality, source(int(items[place]))))
        except DeephashError:  # a phrase of unknown words, a picture that is gone by now
            continue
    return rows


def _vectors(data: HashDataModule, modality: str) -> Callable[[int], Any]:
    return lambda row: data.table.vectors[modality][row].numpy()
