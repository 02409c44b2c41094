"""``--batch-size auto``: the largest batch, a power of two, that memory holds and the data divide into enough steps."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from deephash.data.datamodule import HashDataModule
from deephash.errors import UsageError
from deephash.models import HashModel, ObjectiveHashModel

LEAST, MOST = 8, 4096
STEPS = 8  # batches that an epoch has at least: one that is a single step learns slowly
SHARE = 0.5  # of the free memory that a batch may take; the rest is for evaluation and whoever else is there
GROWTH = 4  # how much more memory twice the batch may take, where pairs of rows are compared
GRADIENTS = 2  # what is kept of a forward pass, and as much again while it is gone through backwards


def largest_batch(model: HashModel, data: HashDataModule, device: torch.device) -> int:
    """Return B. Model, data and random generators stay as they were; ``data.batch_size`` is not set.

    Each doubling is tried by one forward and backward pass of a copy; what that keeps is counted, and a batch that
    could need more than half the free memory is not tried.

    Raises:
        UsageError: the method is not trained by batches, or even the smallest batch does not fit.
    """
    if not isinstance(model, ObjectiveHashModel):
        raise UsageError(
            f"--batch-size auto is for methods that learn by gradients; {type(model).__name__} is fitted on the whole "
            "table"
        )
    data.attach(model)
    bound = min(MOST, max(LEAST, len(data.splits["train"]) // STEPS))
    given, found, needed = data.batch_size, 0, 0
    with _same_random_numbers():
        for size in (2**power for power in range(LEAST.bit_length() - 1, bound.bit_length())):
            if found and needed * GROWTH > SHARE * _free_memory(device):
                break
            data.batch_size = size
            try:
                needed = _tried(model, data, device)
            except (torch.OutOfMemoryError, MemoryError):
                break
            finally:
                data.batch_size = given
            found = size
    if not found:
        raise UsageError(f"a batch of {LEAST} does not fit in memory; take a smaller network or smaller pictures")
    return found


def device_of(accelerator: str) -> torch.device:
    """Return the device that a Trainer of this accelerator trains on."""
    return torch.device("cuda" if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu")


def _tried(model: ObjectiveHashModel, data: HashDataModule, device: torch.device) -> int:
    """Return the bytes that one forward and backward pass keeps, by a copy of the model."""
    trial = copy.deepcopy(model).to(device).train()
    batch = {name: column.to(device) for name, column in next(iter(data.train_dataloader())).items()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = torch.stack([term.float() for term in trial.compute_losses(batch).values()]).sum()
        loss.backward()
    finally:
        del trial
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return GRADIENTS * sum(kept.values())


def _free_memory(device: torch.device) -> int:
    """Return free bytes of the device; of a processor whose system does not tell, 4 GiB are assumed."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    with suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2**32


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave torch's generators where they stand: a run draws what it would have drawn with the number given."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield
