"""A hash model behind the port of :mod:`deephash.encoding`: rows in NumPy go in, the network runs once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.backbones.text import TextEncoder
from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection.bit_certainty import BitCertainty
from deephash.encoding.doubt import uncertainty_of
from deephash.encoding.port import CodeEncoder, Encoded, Modality, Precision, Row
from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.models.loading import load_model


class TorchEncoder:
    """A :class:`~deephash.models.HashModel` as a :class:`~deephash.encoding.CodeEncoder`.

    Args:
        model: put into evaluation mode and channels-last layout, in which CPUs and GPUs convolve fastest; a network of
            one's own keeps its layout.
        device: where it is put, see :func:`find_device`; None leaves it where it is.
        precision: ``bf16`` computes the network in bfloat16.
    """

    engine = "torch"

    def __init__(self, model: HashModel, device: str | None = None, *, precision: Precision = "fp32") -> None:
        if device is not None:
            model = model.to(find_device(device))
        plain = any(not each.channels_last for each in model.encoders.values())
        self.model = model.eval() if plain else model.eval().to(memory_format=torch.channels_last)
        self.precision = precision
        self.method = type(model).__name__
        self.layout = CodeLayout(model.num_bits, model.num_levels)
        self.num_bits, self.num_levels = model.num_bits, model.num_levels
        self.modalities = tuple(model.encoders)
        self.picture_side = model.picture_side()
        self.is_mixable = model.binarises_at_zero and self.layout.is_flat

    @classmethod
    def open(cls, folder: Path, device: str | None = None) -> Self:
        """Load a model folder. Errors as of :func:`~deephash.models.load_model`; the device is looked at first."""
        if device is not None:
            find_device(device)
        return cls(load_model(folder), device)

    @property
    def neutral_phrase(self) -> str | None:
        """The phrase that says nothing; None without a text tower that reads phrases."""
        return None if self._texts is None else self._texts.neutral_phrase

    @property
    def certainty(self) -> Mapping[str, BitCertainty]:
        """How sure bits are, by modality; empty where nobody calibrated the model."""
        own = self.model.own_certainty
        return self.model.certainty or ({} if own is None else {"image": own})

    @property
    def runs_on_cpu(self) -> bool:
        """Whether threads that encode share the cores with those that decode."""
        return self.model.device.type == "cpu"

    @cached_property
    def _fingerprint(self) -> str:
        return self.model.fingerprint()

    @cached_property
    def _texts(self) -> TextEncoder | None:
        found = dict(self.model.encoders.items()).get("text")
        return found if isinstance(found, TextEncoder) else None

    def fingerprint(self) -> str:
        """Return the model's fingerprint, computed once."""
        return self._fingerprint

    def vector_dim(self) -> int:
        """Return D of the vectors of pictures."""
        features = torch.zeros(1, int(self.model.encoders["image"].num_features), device=self.model.device)
        with torch.inference_mode():
            return int(self.model.vectors({"image_features": features}).shape[1])

    def prepare(self, modality: Modality, item: object) -> Row:
        """Return one row of a PIL picture, a phrase or a vector."""
        return self.model.preprocess(modality)(item).numpy()

    def unknown_words(self, phrase: str) -> list[tuple[str, str | None]]:
        """Return the words of a phrase that have no effect, each with a known one it may be a misspelling of."""
        return [] if self._texts is None else self._texts.unknown_words(phrase)

    def neutral(self) -> Row:
        """Return the row of the neutral phrase."""
        if self._texts is None:
            raise UsageError(f"this {self.method} reads no phrases")
        return self._texts.neutral().numpy()

    def encode(
        self, modality: Modality, rows: Sequence[Row], *, continuous: bool = False, vectors: bool = False
    ) -> Encoded:
        """Return the codes of rows, and what else is asked for; the network runs once."""
        if not rows:
            return Encoded(BinaryCodes(np.zeros((0, self.layout.width), np.uint8), self.num_bits, self.num_levels))
        batch = torch.from_numpy(np.stack(rows))
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._autocast():
            inputs: dict[str, Tensor] = {modality: batch.to(self.model.device)}
            features = {f"{modality}_features": self.model.features(inputs, modality)}
            values = _array(self.model(features)) if continuous else None
            return Encoded(
                self.model.encode(features),
                values,
                _array(self.model.vectors(features)) if vectors else None,
                None if values is None else uncertainty_of(self.certainty, modality, values),
            )

    def at(self, precision: Precision) -> Self:
        """Return the same model in another precision; itself where it has it."""
        if precision == self.precision:
            return self
        if precision == "int8":
            raise UsageError("torch computes in fp32 or bf16; int8 takes --engine onnx")
        return type(self)(self.model, precision=precision)

    @contextmanager
    def in_threads(self) -> Iterator[Callable[[], None]]:
        """Let each thread compute alone meanwhile; several that each use all cores would wait for one another."""
        before, alone = torch.get_num_threads(), _alone if self.runs_on_cpu else _as_it_is
        alone()
        try:
            yield alone
        finally:
            torch.set_num_threads(before)

    def save(self, directory: Path) -> None:
        """Write the model folder."""
        self.model.save(directory)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            yield


if TYPE_CHECKING:

    def _fits_the_port(encoder: TorchEncoder) -> CodeEncoder:
        return encoder


def find_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is a GPU where there is one. Raises UsageError if it is unusable."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0][:120]
        raise UsageError(f"device {name!r} cannot be used here: {reason}; use auto, cpu or cuda") from None
    return device


def _array(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu(), dtype=np.float32)


def _alone() -> None:
    torch.set_num_threads(1)


def _as_it_is() -> None:
    """Leave the threads of torch as they are: a GPU computes."""
