"""Writing the portable encoder of a model folder: each tower as an ONNX graph, its reader as data.

A tower goes from rows to ``continuous`` [n, K], ``vectors`` [n, D] and, of methods with a binarisation of their own,
``bits``. What was exported is run once against torch; a model that cannot be exported, or differs, says so in its
record and keeps the torch path.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deephash.backbones.quiet import quiet
from deephash.encoding.onnx import session_of
from deephash.encoding.portable import OPSET, TOLERANCE, file_name
from deephash.encoding.record import sha256


class Exportable(Protocol):
    """What is asked of a model that is exported: :class:`~deephash.models.HashModel` has it."""

    binarises_at_zero: ClassVar[bool]

    @property
    def encoders(self) -> Any: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    def __call__(self, inputs: Any) -> Tensor: ...  # noqa: D102
    def features(self, inputs: Any, modality: str = ...) -> Tensor: ...  # noqa: D102
    def vectors(self, inputs: Any) -> Tensor: ...  # noqa: D102
    def bits(self, inputs: Any) -> Tensor: ...  # noqa: D102
    def evaluating(self) -> AbstractContextManager[None]: ...  # noqa: D102


class NotPortable(Exception):
    """A model has no portable form; the sentence says why."""


def export_portable(model: Exportable, folder: Path) -> dict[str, Any]:
    """Write the towers of ``model`` into its folder and return what ``model.json`` says of them.

    Returns:
        ``towers``, ``mixable``, ``opset`` and ``difference`` (the largest of a continuous code from torch's), or
        ``reason`` where the model stays with torch.
    """
    written: list[Path] = []
    try:
        if find_spec("onnx") is None or find_spec("onnxruntime") is None:
            raise NotPortable("onnx and onnxruntime are not installed")
        with model.evaluating(), torch.inference_mode(False), torch.no_grad(), quiet(logging.ERROR):
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


class Tower(nn.Module):
    """One tower from rows to what is asked of it."""

    def __init__(self, model: Exportable, modality: str) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return continuous codes and vectors, and bits where these are more than the codes' signs."""
        features = {f"{self.modality}_features": self.model.features({self.modality: rows}, self.modality)}
        outputs = (self.model(features).float(), self.model.vectors(features).float())
        return outputs if self.model.binarises_at_zero else (*outputs, self.model.bits(features))


def _exported(model: Exportable, modality: str, folder: Path, written: list[Path]) -> dict[str, Any]:
    encoder = model.encoders[modality]
    reads = encoder.portable_reader(folder, f"assets/{modality}")
    if reads is None:
        raise NotPortable(f"what {encoder.spec.name} reads has no form without torch")
    path, tower = folder / file_name(modality), Tower(model, modality).eval()
    rows = example_rows(reads, model.device)
    names = ["continuous", "vectors", *([] if model.binarises_at_zero else ["bits"])]
    written.append(path)
    try:
        with _as_plain_operators():
            torch.onnx.export(
                tower, (rows,), str(path), dynamo=False, opset_version=OPSET, input_names=["rows"], output_names=names,
                dynamic_axes={name: {0: "n"} for name in ("rows", *names)},
            )  # fmt: skip
    except Exception as error:  # networks of other libraries raise nearly anything
        raise NotPortable(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    found = tower(rows)
    difference = _difference(path, names, rows, found)
    return {
        "sha256": sha256(path),
        "reads": reads,
        "vector_dim": int(found[1].shape[1]),
        "difference": difference,
    }


@contextmanager
def _as_plain_operators() -> Iterator[None]:
    """Let attention be computed by operators that ONNX has, and keep the exporter from printing what it failed at."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def example_rows(reads: dict[str, Any], device: torch.device) -> Tensor:
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
    session = session_of(path.read_bytes())
    run = [session.run(names, {"rows": row[None]}) for row in rows.cpu().numpy()]
    made = np.concatenate([outputs[0] for outputs in run])
    codes = found[0].cpu().numpy()
    difference = float(np.abs(made - codes).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(codes).max(initial=0.0))):
        raise NotPortable(f"its codes in ONNX differ from torch's by up to {difference:.2g}")
    return difference
