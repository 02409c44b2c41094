"""Writing the portable encoder of a model folder: each tower as an ONNX graph, its reader as data.

A tower goes from rows to ``continuous`` [n, K], ``vectors`` [n, D] and, of methods with a binarisation of their own,
``bits``. What was exported is run once against torch; a model that cannot be exported, or differs, says so in its
record and keeps the torch path.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deephash.collection.card import replace_file
from deephash.encoding.portable import ENTRY, OPSET, TOLERANCE, file_name
from deephash.encoding.record import JSON_NAME
from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.models.loading import load_model


class NotPortable(Exception):
    """A model has no portable form; the sentence says why."""


def export_portable(model: HashModel, folder: Path) -> dict[str, Any]:
    """Write the towers of ``model`` into its folder and return what ``model.json`` says of them.

    Returns:
        ``towers``, ``mixable``, ``opset`` and ``difference`` (the largest of a continuous code from torch's), or
        ``reason`` where the model stays with torch.
    """
    written: list[Path] = []
    try:
        if find_spec("onnx") is None or find_spec("onnxruntime") is None:
            raise NotPortable("onnx and onnxruntime are not installed")
        with model._evaluating(), torch.inference_mode(False), torch.no_grad(), _quietly():
            towers = {name: _exported(model, name, folder, written) for name in model.encoders}
        return {
            "towers": towers,
            "mixable": model.binarises_at_zero,
            "opset": OPSET,
            "difference": max(tower.pop("difference") for tower in towers.values()),
        }
    except NotPortable as reason:
        for path in written:
            path.unlink(missing_ok=True)
        return {"reason": str(reason)}


class _Tower(nn.Module):
    """One tower from rows to what is asked of it."""

    def __init__(self, model: HashModel, modality: str) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        features = {f"{self.modality}_features": self.model.features({self.modality: rows}, self.modality)}
        outputs = (self.model(features).float(), self.model.vectors(features).float())
        return outputs if self.model.binarises_at_zero else (*outputs, self.model.bits(features))


def _exported(model: HashModel, modality: str, folder: Path, written: list[Path]) -> dict[str, Any]:
    encoder = model.encoders[modality]
    reads = encoder.portable_reader(folder, f"assets/{modality}")
    if reads is None:
        raise NotPortable(f"what {encoder.spec.name} reads has no form without torch")
    path, tower = folder / file_name(modality), _Tower(model, modality).eval()
    rows = _example(reads, model.device)
    names = ["continuous", "vectors", *([] if model.binarises_at_zero else ["bits"])]
    written.append(path)
    try:
        torch.onnx.export(
            tower, (rows,), str(path), dynamo=False, opset_version=OPSET, input_names=["rows"], output_names=names,
            dynamic_axes={name: {0: "n"} for name in ("rows", *names)},
        )  # fmt: skip
    except Exception as error:  # networks of other libraries raise nearly anything
        raise NotPortable(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    found = tower(rows)
    difference = _difference(path, names, rows, found)
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "reads": reads,
        "vector_dim": int(found[1].shape[1]),
        "difference": difference,
    }


def _example(reads: dict[str, Any], device: torch.device) -> Tensor:
    """Return two rows of the kind that a tower reads, the same for everybody."""
    draw = torch.Generator().manual_seed(0)
    if reads["kind"] in ("picture", "clip-picture"):
        side = int(reads["transform"]["size"])
        return torch.rand(2, 3, side, side, generator=draw).mul_(2).sub_(1).to(device)
    if reads["kind"] == "word-pieces":
        tokens = torch.zeros(2, int(reads["length"]), dtype=torch.long)
        tokens[:, 0], tokens[:, 1], tokens[:, 2] = 49_406, 320, 49_407
        return tokens.to(device)
    return torch.rand(2, int(reads["width"]), generator=draw).to(device)


def _difference(path: Path, names: list[str], rows: Tensor, found: tuple[Tensor, ...]) -> float:
    """Return how far the continuous codes are from torch's, one row at a time. Raises NotPortable where too far."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    run = [session.run(names, {"rows": row[None]}) for row in rows.cpu().numpy()]
    made = np.concatenate([outputs[0] for outputs in run])
    codes = found[0].cpu().numpy()
    difference = float(np.abs(made - codes).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(codes).max(initial=0.0))):
        raise NotPortable(f"its codes in ONNX differ from torch's by up to {difference:.2g}")
    return difference


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's remarks to oneself."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def make_portable(folder: Path) -> dict[str, Any]:
    """Give a model folder that has none its portable encoder, and return its entry of ``model.json``.

    Raises:
        CollectionDamaged, FormatTooNew: the folder cannot be loaded.
    """
    model = load_model(folder)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as made:
        entry = export_portable(model, Path(made))
        for path in Path(made).iterdir():
            os.replace(path, folder / path.name)
    record = json.loads((folder / JSON_NAME).read_text(encoding="utf8")) | {ENTRY: entry}
    replace_file(folder / JSON_NAME, json.dumps(record, indent=2) + "\n")
    return entry


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
    tower, path = _Tower(model, modality).eval(), out / file_name(modality).replace(".onnx", ".pt")
    with torch.no_grad(), _quietly():
        torch.jit.trace(tower, (_example(reads, model.device),), check_trace=False).save(str(path))
    return path
