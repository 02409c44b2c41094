"""CIFAR-10 (Krizhevsky 2009): 60,000 pictures of 32x32 pixels in 10 classes; 50,000 are official training pictures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.feature_file import read_npz
from deephash.data.manifests import official_names
from deephash.data.protocols import Splits, build_split, find_rule
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL_TRAIN = 50_000


class Cifar10(HashDataModule):
    """CIFAR-10 in torchvision's format, or as one compact file of JPEG pictures.

    The compact file is lossy (JPEG quality 75). What is measured on it says ``pictures=jpeg-q75`` in its protocol
    string and is not comparable with published tables.

    Args:
        root: folder that holds ``cifar-10-batches-py``.
        file: an ``.npz`` of ``blob`` (JPEG files end to end), ``offsets``, ``labels``, ``n_train``; replaces root.
        download: let torchvision fetch the data into ``root``.
        protocol: a split rule: cifar10-i (1,000 / 59,000 / 5,000), cifar10-i-disjoint, cifar10-ii (official test
            pictures ask) or cifar10-iii (unseen classes).
        seed: of the split.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        augment: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
        num_workers: see :class:`HashDataModule`.
    """

    def __init__(
        self,
        root: str = "data",
        file: str | None = None,
        download: bool = False,
        protocol: str = "cifar10-i",
        seed: int = 0,
        batch_size: int = 256,
        hold_out: bool = True,
        augment: Augment = "none",
        cache_dir: str | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            hold_out=hold_out,
            augment=augment,
            cache_dir=cache_dir,
            num_workers=num_workers,
            encode_batch_size=16,
        )
        self.root, self.file = Path(root).expanduser(), Path(file).expanduser() if file is not None else None
        self.download, self.rule, self.seed = download, find_rule(protocol), seed

    @property
    def protocol_name(self) -> str:
        """The split rule."""
        return self.rule.protocol

    @property
    def pictures(self) -> str:
        """Says where the pictures are the lossy copy."""
        return "original" if self.file is None else "jpeg-q75"

    def read(self) -> ItemTable:
        """Read all pictures, official training pictures first. Raises DatasetNotFound or DataError."""
        labels, picture, checksum, first = self._compact(self.file) if self.file is not None else self._torchvision()
        self._official_train = first
        return ItemTable(
            names=official_names(len(labels), first),
            labels=labels,
            checksum=checksum,
            class_names=list(CLASS_NAMES),
            sources={"image": picture},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the split rule."""
        assert table.labels is not None
        return build_split(self.rule.name, table.labels, n_train_images=self._official_train, seed=self.seed)

    def _torchvision(self) -> tuple[NDArray[np.int64], Callable[[int], Image.Image], str, int]:
        from torchvision.datasets import CIFAR10

        try:
            parts = [CIFAR10(self.root, train=train, download=self.download) for train in (True, False)]
        except (RuntimeError, OSError) as error:
            raise DatasetNotFound(
                f"CIFAR-10 is not in {self.root.absolute()} (cifar-10-batches-py, 163 MB): {error}. With network: "
                "--data.init_args.download=true. Without: copy the folder there, or give a compact file with "
                "--data.init_args.file=cifar10_jpeg.npz"
            ) from None
        pixels = np.concatenate([part.data for part in parts])
        labels = np.concatenate([np.array(part.targets, dtype=np.int64) for part in parts])
        return labels, lambda row: Image.fromarray(pixels[row]), "torchvision CIFAR-10", OFFICIAL_TRAIN

    def _compact(self, file: Path) -> tuple[NDArray[np.int64], Callable[[int], Image.Image], str, int]:
        columns = read_npz(file)
        missing = {"blob", "offsets", "labels", "n_train"} - set(columns)
        if missing:
            raise DataError(f"{file} is not a compact CIFAR-10 file: it lacks {', '.join(sorted(missing))}")
        blob, offsets = columns["blob"], columns["offsets"]

        def picture(row: int) -> Image.Image:
            return Image.open(io.BytesIO(blob[offsets[row] : offsets[row + 1]].tobytes())).convert("RGB")

        checksum = hashlib.sha256(blob.tobytes() + offsets.tobytes()).hexdigest()
        return columns["labels"].astype(np.int64), picture, checksum, int(columns["n_train"])
