"""No model may grow larger than its file says, while it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from deephash.errors import CollectionDamaged
from deephash.foreign.files import MIB, in_words

# The half of CLIP that a tower leaves behind is up to six times the half that is kept.
FACTOR, SLACK = 8, 64 * MIB
MAX_TENSORS = 2000  # beyond FACTOR times those of the file


class AllocationLimit(TorchDispatchMode):
    """Refuses to make tensors once those alive would take more than ``FACTOR`` times the weights' file and a little.

    Sizes that a factory (``empty``, ``zeros``, ``randn`` ...) is given are looked at before it runs; what other
    operations made is counted afterwards, so that nothing grows by doubling. NumPy's arrays are not seen.

    Args:
        file_bytes: size of the weights' file.
        file_tensors: how many tensors it holds.
        what: of messages.

    Raises:
        CollectionDamaged: inside the ``with`` block, instead of the allocation.
    """

    def __init__(self, file_bytes: int, file_tensors: int, what: str) -> None:
        super().__init__()
        self._most, self._what = FACTOR * file_bytes + SLACK, what
        self._tensors = FACTOR * file_tensors + MAX_TENSORS
        self._file_bytes, self._alive = file_bytes, 0
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation of torch, or refuse it."""
        options = dict(kwargs or {})
        on_meta = str(options.get("device")) == "meta"
        if not on_meta:
            self._look_ahead(args, options)
        result = func(*args, **options)
        if not on_meta:
            for each in result if isinstance(result, (tuple, list)) else (result,):
                self._count(each)
        return result

    def _look_ahead(self, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        if any(isinstance(each, torch.Tensor) for each in args):
            return  # its size is that of tensors there are, or is counted afterwards
        sizes = [each for each in args if isinstance(each, (list, tuple)) and all(type(n) is int for n in each)]
        counts = [each for each in args if type(each) is int]  # arange, linspace, randperm, eye
        number = max([math.prod(each) for each in sizes] + [abs(each) for each in counts], default=0)
        dtype = options.get("dtype") or torch.get_default_dtype()
        self._require(number * dtype.itemsize)

    def _count(self, made: Any) -> None:
        if not isinstance(made, torch.Tensor) or made.layout is not torch.strided or made.is_meta:
            return
        storage = made.untyped_storage()
        if storage._cdata in self._storages and not self._storages[storage._cdata][0].expired():
            return
        self._require(storage.nbytes(), made=True)
        self._storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive += storage.nbytes()

    def _require(self, more: int, *, made: bool = False) -> None:
        if self._alive + more > self._most or (made and len(self._storages) >= self._tensors):
            self._storages = {key: entry for key, entry in self._storages.items() if not entry[0].expired()}
            self._alive = sum(size for _, size in self._storages.values())
        if self._alive + more > self._most or len(self._storages) > self._tensors:
            raise CollectionDamaged(
                f"{self._what} describes a network of {in_words(self._alive + more)} or more, {len(self._storages)} "
                f"tensors so far, and its weights are {in_words(self._file_bytes)}; copy the model folder again"
            )
