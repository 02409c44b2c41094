"""An encoder in 8-bit integers: the portable picture tower, with ranges that were measured on real pictures.

Static quantisation of weights (a scale a channel) and activations (a scale a tensor), which onnxruntime does. Codes of
it and of fp32 differ in some bits, so a collection has one or the other.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deephash.encoding.flips import count_flips, note_of_tower
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.port import Row
from deephash.encoding.portable import INT8_NAME, file_name
from deephash.encoding.record import sha256
from deephash.errors import UsageError
from deephash.foreign.replacing import put_in_place

INT8_SAMPLE = 128  # pictures: ranges are measured on half of them, flipped bits on the others
LEAST = 8  # pictures from which ranges can be measured


def quantise(folder: Path, rows: Sequence[Row]) -> dict[str, int]:
    """Give a model folder an int8 tower for pictures, and return how many bits it decides otherwise than fp32.

    Args:
        folder: a model folder with a portable encoder that reads pictures.
        rows: pictures as the network reads them. The ranges are measured on every other one, the bits on the rest.

    Raises:
        UsageError: fewer than 8 pictures, a model that reads none, or ``onnx`` is not installed.
        CollectionDamaged: the folder carries no portable encoder.
    """
    encoder = OnnxEncoder(folder)
    if encoder.picture_side is None:
        raise UsageError(f"int8 is made of the tower that reads pictures; this {encoder.method} reads none")
    if find_spec("onnx") is None:
        raise UsageError("an int8 encoder is made with the package onnx: pip install onnx")
    if len(rows) < LEAST:
        raise UsageError(f"the ranges of int8 are measured on at least {LEAST} pictures, not {len(rows)}")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        made = Path(name) / INT8_NAME
        _write(folder / file_name("image"), made, rows[::2])
        digest = sha256(made)
        put_in_place(made, folder / INT8_NAME)
    note_of_tower(folder, "image", int8={"sha256": digest})
    flips = count_flips(encoder, OnnxEncoder(folder).at("int8"), "image", rows[1::2])
    note_of_tower(folder, "image", int8={"sha256": digest, **flips})
    return flips


def _write(graph: Path, made: Path, rows: Sequence[Row]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting: Iterator[Row] = iter(rows)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.waiting, None)
            return None if row is None else {"rows": row[None]}

    prepared = made.with_suffix(".prepared")
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # it asks for a step that was just done
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
            quantize_static(str(prepared), str(made), Rows(), per_channel=True, activation_type=QuantType.QUInt8)
    finally:
        log.setLevel(level)
