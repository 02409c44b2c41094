"""Product codes beside a collection's own: who makes them, the column that holds them, and how they re-rank.

A model with sub-codebooks among its weights (Poeem) has them as the tensor ``product_centroids``; its vectors are what
they quantise. Everything here is NumPy: a portable encoder gives the vectors, the model folder the codebooks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from deephash.collection import Collection
from deephash.collection.reader import CollectionReader
from deephash.encoding.record import COPY_AGAIN, TENSORS_NAME
from deephash.errors import CollectionDamaged, UsageError
from deephash.index.product import ProductIndex
from deephash.index.product_codes import ProductQuantizer

TENSOR, COLUMN = "product_centroids", "product_code"
Gather = Callable[[NDArray[np.int64]], NDArray[Any]]


def quantizer_in(folder: Path | None) -> ProductQuantizer | None:
    """Return the codebooks of a model folder; None of most models. Raises CollectionDamaged where they cannot be."""
    path = None if folder is None else folder / TENSORS_NAME
    if path is None or not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            return ProductQuantizer(file.get_tensor(TENSOR)) if TENSOR in file.keys() else None  # noqa: SIM118
    except (SafetensorError, OSError, UsageError) as error:
        raise CollectionDamaged(f"the codebooks in {path} cannot be read: {error}; {COPY_AGAIN}") from None


def add_column(collection: Collection) -> None:
    """Give a new collection the column of product codes, where its model makes them."""
    quantizer = quantizer_in(collection.model_path)
    if quantizer is not None:
        collection.add_column(COLUMN, 8 * quantizer.parts)


def quantizer_of(collection: CollectionReader) -> ProductQuantizer | None:
    """Return the codebooks of a collection's product codes; None where the current model has no such column."""
    column = collection.code_columns.get(COLUMN)
    if column is None or column.fingerprint is None or column.fingerprint != collection.fingerprint:
        return None
    return quantizer_in(collection.model_path)


def product_index(collection: CollectionReader, **options: Any) -> ProductIndex:
    """Return an index over a collection's product codes, see :class:`~deephash.index.product.ProductIndex`.

    Raises:
        UsageError: the collection has none.
    """
    quantizer = quantizer_of(collection)
    if quantizer is None:
        raise UsageError(f"{collection.path} holds no product codes of its model; index pictures with a run of Poeem")
    return ProductIndex(*collection.codes(COLUMN), quantizer, **options)


def gather_of(collection: CollectionReader) -> tuple[Gather, str]:
    """Return what re-ranks: stored vectors by cosine, else what product codes stand for, by inner product.

    Raises:
        UsageError: what is returned does so of rows that have neither, and for a collection without both.
    """
    quantizer = None if collection.has_vectors else quantizer_of(collection)
    if quantizer is None:
        return collection.vectors, "cosine"
    return lambda ids: quantizer.decode(collection.codes_of(ids, COLUMN)), "inner"


def can_rerank(collection: CollectionReader) -> bool:
    """Say whether rows can keep a vector or a product code of the current model."""
    return collection.has_vectors or quantizer_of(collection) is not None
