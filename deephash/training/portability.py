"""The encoder without torch of a run that is over, measured on items that it was trained with."""

from __future__ import annotations

from pathlib import Path

from deephash.data.datamodule import HashDataModule
from deephash.encoding.flips import SAMPLE
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.port import CodeEncoder, Modality, Row
from deephash.encoding.samples import evenly
from deephash.errors import DeephashError
from deephash.models.exporting import compare_with_torch, make_portable


def make_run_portable(folder: Path, data: HashDataModule) -> None:
    """Give the model of a run its encoder without torch, and note how many bits of training items it flips."""
    if "towers" not in make_portable(folder):
        return
    encoder = OnnxEncoder(folder)
    compare_with_torch(folder, {modality: _some_rows(encoder, modality, data) for modality in encoder.modalities})


def _some_rows(encoder: CodeEncoder, modality: Modality, data: HashDataModule) -> list[Row]:
    """Return what a tower reads of some training items; none where the data keep vectors alone."""
    source, items = data.table.sources.get(modality), data.splits["train"].rows
    rows: list[Row] = []
    if source is None:
        return rows
    for place in evenly(len(items), SAMPLE):
        try:
            rows.append(encoder.prepare(modality, source(int(items[place]))))
        except DeephashError:  # a phrase of unknown words, a picture that is gone by now
            continue
    return rows
