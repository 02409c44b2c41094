"""Features of a frozen backbone, computed once and kept on disk in blocks, so that Ctrl-C loses at most one block."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.backbones import Encoder
from deephash.backbones.text import TextEncoder
from deephash.data.learner import Learner
from deephash.errors import UnreadablePicture
from deephash.progress import track

BLOCK = 4096
Rejected = list[tuple[int, str]]


def encoder_keys(model: Learner) -> dict[str, str]:
    """Return, by modality, the digest of what the encoder's output depends on."""
    return {modality: encoder_key(encoder) for modality, encoder in model.encoders.items()}


def encoder_key(encoder: Encoder) -> str:
    """Return a digest of everything an encoder's output depends on: architecture, preprocessing and weights."""
    spec = asdict(encoder.spec)
    digest = hashlib.sha256(json.dumps([spec["name"], spec["options"], spec["transform"]], default=str).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class FeatureCache:
    """Features [N, D] of the items ``rows`` of one modality.

    Args:
        encoder: a frozen backbone; it is used in evaluation mode.
        source: row number -> PIL picture or str; raises UnreadablePicture.
        rows: whose features are wanted.
        content: checksum of the data.
        folder: where blocks are kept; None keeps them in memory only.
        batch_size: rows a forward pass.
        device: where the forward pass runs.
        threads: that decode and prepare; ``source`` is called from them.
    """

    def __init__(
        self,
        encoder: Encoder,
        source: Callable[[int], Any],
        rows: NDArray[np.int64],
        content: str,
        *,
        folder: Path | None,
        batch_size: int = 64,
        device: torch.device | str = "cpu",
        threads: int = 1,
    ) -> None:
        self.encoder, self.source, self.rows = encoder, source, rows
        self.batch_size, self.device = batch_size, torch.device(device)
        self.folder: Path | None = None
        self.threads = threads
        if folder is not None:
            key = hashlib.sha256(f"{encoder_key(encoder)} {content}".encode() + rows.tobytes()).hexdigest()[:24]
            self.folder = folder / key
        self.rejected: Rejected = []

    def features(self, label: str) -> Tensor:
        """Return float32 [N, D]; rows of unreadable pictures are zero and listed in ``rejected``."""
        starts = range(0, len(self.rows), BLOCK)
        blocks = [self._stored(start) for start in starts]
        missing = [start for start, block in zip(starts, blocks) if block is None]
        if missing:
            batches = sum(-(-len(self.rows[start : start + BLOCK]) // self.batch_size) for start in missing)
            bar = iter(track(range(batches), label, total=batches, unit="batch"))
            blocks = [block if block is not None else self._make(start, bar) for start, block in zip(starts, blocks)]
            next(bar, None)  # lets the bar finish
        made = [block for block in blocks if block is not None]
        return torch.from_numpy(np.concatenate(made)) if made else torch.zeros(0, self.encoder.num_features)

    # One block -------------------------------------------------------------------------------------

    def _stored(self, start: int) -> NDArray[np.float32] | None:
        if self.folder is None or not (path := self._path(start)).exists():
            return None
        try:
            block = np.load(path, allow_pickle=False)
            rejected = json.loads(path.with_suffix(".json").read_text())
        except (OSError, ValueError, EOFError):
            return None  # half-written by another program: compute it again
        self.rejected += [(int(row), reason) for row, reason in rejected]
        features: NDArray[np.float32] = block
        return features

    def _make(self, start: int, bar: Iterator[int]) -> NDArray[np.float32]:
        rows, rejected = self.rows[start : start + BLOCK], len(self.rejected)
        batches = []
        for first in range(0, len(rows), self.batch_size):
            next(bar, None)
            batches.append(self._forward(rows[first : first + self.batch_size]))
        block = np.concatenate(batches)
        if self.folder is not None:
            self._store(start, block, self.rejected[rejected:])
        return block

    def _forward(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        encoder = self.encoder  # texts of a data set may hold no known word, which a query may not
        transform = encoder.preprocess_data() if isinstance(encoder, TextEncoder) else encoder.preprocess()

        def prepared(row: np.int64) -> Tensor | UnreadablePicture:
            try:
                return transform(self.source(int(row)))
            except UnreadablePicture as error:
                return error

        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(prepared, rows) if self.threads > 1 else map(prepared, rows))
        inputs, readable = [], []
        for place, row in enumerate(found):
            if isinstance(row, UnreadablePicture):
                self.rejected.append((int(rows[place]), str(row)))
            else:
                inputs.append(row)
                readable.append(place)
        features = np.zeros((len(rows), self.encoder.num_features), dtype=np.float32)
        if inputs:
            self.encoder.eval()
            with torch.inference_mode():
                features[readable] = self.encoder(torch.stack(inputs).to(self.device)).float().cpu().numpy()
        return features

    def _path(self, start: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{start:09d}.npy"

    def _store(self, start: int, block: NDArray[np.float32], rejected: Rejected) -> None:
        path = self._path(start)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(rejected))
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        with fresh.open("wb") as file:
            np.save(file, block)
        os.replace(fresh, path)
