"""What a data module asks of the model that it prepares for; every :class:`~deephash.models.HashModel` answers."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from deephash.backbones import Encoder
from deephash.codes import BinaryCodes


class EncoderTable(Protocol):
    """One encoder a modality."""

    def __getitem__(self, modality: str) -> Encoder: ...
    def __iter__(self) -> Iterator[str]: ...
    def items(self) -> ItemsView[str, Encoder]: ...  # noqa: D102


class Learner(Protocol):
    """A model that learns from batches, and is scored on the codes it gives."""

    needs_whole_table: ClassVar[bool]

    @property
    def encoders(self) -> EncoderTable:
        """Whose features are cached where they are frozen."""

    @property
    def device(self) -> torch.device:
        """Where features are computed."""

    def preprocess(self, modality: str) -> Callable[[Any], Tensor]:
        """Return the function from an item to one row of the encoder's input."""

    def encode(self, inputs: Mapping[str, Tensor]) -> BinaryCodes:
        """Return the codes of a batch."""
