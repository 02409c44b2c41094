"""Model folders that are there already: an encoder without torch for them, or files in other forms."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from deephash.backbones.quiet import quiet
from deephash.encoding.flips import count_flips, note_of_tower, write_record
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.port import Modality, Row
from deephash.encoding.portable import ENTRY, INT8_NAME, file_name, towers_of
from deephash.encoding.record import read_model_record
from deephash.errors import UsageError
from deephash.foreign.replacing import put_in_place
from deephash.models.base import HashModel
from deephash.models.encoder import TorchEncoder
from deephash.models.loading import load_model
from deephash.models.portable import Tower, example_rows, export_portable


def make_portable(folder: Path) -> dict[str, Any]:
    """Give a model folder its portable encoder anew, and return its entry of ``model.json``.

    What was measured of a tower stays where its graph is the same as before; of another it is forgotten, the int8 form
    included.

    Raises:
        CollectionDamaged, FormatTooNew: the folder cannot be loaded.
    """
    model = load_model(folder)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as made:
        entry = export_portable(model, Path(made))
        for path in Path(made).iterdir():
            put_in_place(path, folder / path.name)
    record = read_model_record(folder)
    for modality, tower in entry.get("towers", {}).items():
        before = towers_of(record).get(modality, {})
        if before.get("sha256") == tower["sha256"]:
            tower |= {name: before[name] for name in ("flips", "int8") if name in before}
    write_record(folder, record | {ENTRY: entry})
    if not any("int8" in tower for tower in entry.get("towers", {}).values()):
        (folder / INT8_NAME).unlink(missing_ok=True)
    return entry


def compare_with_torch(folder: Path, rows: Mapping[Modality, Sequence[Row]]) -> None:
    """Note in a model folder how many bits of ``rows`` its portable encoder decides otherwise than torch.

    Raises:
        CollectionDamaged, FormatTooNew: the folder cannot be loaded.
    """
    torch_encoder, portable = TorchEncoder(load_model(folder)), OnnxEncoder(folder)
    for modality, some in rows.items():
        if some:
            note_of_tower(folder, modality, flips=count_flips(torch_encoder, portable, modality, some))


def export_to(folder: Path, out: Path, format: str) -> list[Path]:
    """Write the towers of a model folder as ``onnx``, ``torchscript`` or ``openvino`` files into ``out``.

    Raises:
        UsageError: the model has no such form, or OpenVINO is not installed.
    """
    if format == "openvino" and find_spec("openvino") is None:
        raise UsageError("openvino is not installed: pip install openvino; or take --format onnx, which it reads too")
    out.mkdir(parents=True, exist_ok=True)
    model = load_model(folder)
    if format == "torchscript":
        return [_traced(model, name, out) for name in model.encoders]
    entry = export_portable(model, out)
    if "reason" in entry:
        raise UsageError(f"{folder} keeps to torch: {entry['reason']}")
    files = [out / file_name(name) for name in model.encoders]
    if format == "onnx":
        return files
    import openvino

    made = []
    for path in files:
        openvino.save_model(openvino.convert_model(str(path)), str(path.with_suffix(".xml")), compress_to_fp16=False)
        made += [path.with_suffix(".xml"), path.with_suffix(".bin")]
        path.unlink()
    return made


def _traced(model: HashModel, modality: str, out: Path) -> Path:
    reads = model.encoders[modality].portable_reader(out, f"assets/{modality}")
    if reads is None:
        raise UsageError(f"what {model.encoders[modality].spec.name} reads has no form without deephash")
    tower, path = Tower(model, modality).eval(), out / file_name(modality).replace(".onnx", ".pt")
    with torch.no_grad(), quiet(logging.ERROR):
        torch.jit.trace(tower, (example_rows(reads, model.device),), check_trace=False).save(str(path))
    return path
