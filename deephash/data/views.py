"""The views of a data set's training items, by name: columns of vectors, descriptors of pictures, a second backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deephash.backbones import Backbone, Encoder
from deephash.data.feature_cache import FeatureCache
from deephash.data.view_features import GENERATORS, Descriptor
from deephash.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from deephash.data.datamodule import HashDataModule


def training_views(data: HashDataModule, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the views [n, D] of the training split's rows, in its order.

    A name is that of vectors the data set holds (``<name>_features`` of a file, ``image`` of the digits), else ``rgb``,
    ``hsv``, ``hog`` or ``lbp``, else a frozen backbone such as ``timm:resnet18``, with a file or a tag of weights after
    an equals sign: ``timm:resnet18=FILE``. Pictures are taken as they are, never augmented. Rows whose item lacks the
    view hold NaN.

    Args:
        data: after its ``setup``.
        widths: name -> D.

    Raises:
        UsageError: no such view, or one of another width.
    """
    views = {name: _view(data, name) for name in widths}
    for name, table in views.items():
        if table.shape[1] != widths[name]:
            raise UsageError(
                f"the view {name!r} of {type(data).__name__} has {table.shape[1]} numbers, but the model expects "
                f"{widths[name]}; write {name}: {table.shape[1]} in its views"
            )
    return views


def _view(data: HashDataModule, name: str) -> Tensor:
    table, rows = data.table, data.splits["train"].rows
    if name not in table.vectors:
        return _of_pictures(data, name)
    found = table.vectors[name][torch.from_numpy(rows)].clone()
    present = table.present.get(name)
    if present is not None:
        found[torch.from_numpy(~present[rows])] = float("nan")
    return found


def _of_pictures(data: HashDataModule, name: str) -> Tensor:
    if "image" not in data.table.sources or not (name in GENERATORS or ":" in name):
        known = [*data.table.vectors, *(GENERATORS if "image" in data.table.sources else ())]
        raise UsageError(
            f"{type(data).__name__} has no view {name!r}{did_you_mean(name, known)}"
            + (", or a backbone such as timm:resnet18" if "image" in data.table.sources else "")
        )
    rows = data.splits["train"].rows
    cache = FeatureCache(
        _encoder(name),
        data.table.sources["image"],
        rows,
        data.table.checksum,
        folder=data.cache_dir,
        batch_size=data.encode_batch_size,
        threads=2,
    )
    return cache.features(f"view {name} of {len(rows):,} pictures")


def _encoder(name: str) -> Encoder:
    if name in GENERATORS:
        return Descriptor(name)
    network, _, weights = name.partition("=")
    return Backbone(network, weights or "hub").build()
