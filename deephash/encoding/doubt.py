"""How sure an encoder's bits are, by what its model folder keeps; the same of torch and of a portable encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deephash.collection.bit_certainty import BitCertainty, certainty_for
from deephash.encoding.port import CodeEncoder, Modality, Row


def tables_of(encoder: CodeEncoder) -> Mapping[str, BitCertainty]:
    """Return modality -> how sure bits are; empty for an encoder that nobody calibrated, or one of somebody else."""
    found: Mapping[str, BitCertainty] = getattr(encoder, "certainty", {})
    return found


def bit_probabilities(encoder: CodeEncoder, modality: Modality, rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return how probably each bit is 1, [n, K] (or [n, L, K]), as ``model.bit_probabilities`` does.

    Raises:
        UsageError: a continuous code is NaN, or nobody calibrated the model.
    """
    table = certainty_for(tables_of(encoder), modality, encoder.method)
    continuous = encoder.encode(modality, rows, continuous=True).continuous
    if continuous is None:
        continuous = np.empty((0, encoder.num_bits), np.float32)
    return table.probabilities(continuous)


def uncertainty_of(
    tables: Mapping[str, BitCertainty], modality: str, continuous: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return ``1 - certainty`` of whole codes, float32 [n]; None where it is not known."""
    table = tables.get(modality)
    return None if table is None else (1 - table.of_rows(continuous)).astype(np.float32)
