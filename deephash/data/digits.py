"""The 1,797 handwritten digits that ship inside scikit-learn: 8x8 grey values, 10 classes. No download."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from deephash.data.datamodule import HashDataModule
from deephash.data.protocols import Splits, build_split
from deephash.data.table import ItemTable

SIDE = 32


class Digits(HashDataModule):
    """Handwritten digits; a fifth of each class asks, the rest is learned from and searched.

    Pictures are enlarged to 32x32 pixels, white on black; ``features:64`` reads the 64 grey values as they are.

    Args:
        seed: of the split.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        num_workers: see :class:`HashDataModule`.
    """

    def __init__(self, seed: int = 0, batch_size: int = 128, hold_out: bool = True, num_workers: int = 0) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out, num_workers=num_workers, encode_batch_size=256)
        self.seed = seed

    @property
    def protocol_name(self) -> str:
        """The split rule behind the name of the data."""
        return "digits-fifth/v1"

    def read(self) -> ItemTable:
        """Return the digits."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = digits.images.astype(np.float32) / 16
        pictures = [enlarge(image) for image in grey]
        return ItemTable(
            names=[f"{label}/{row:04d}.png" for row, label in enumerate(digits.target)],
            labels=digits.target.astype(np.int64),
            checksum="scikit-learn digits, 32x32 bicubic",
            class_names=[str(name) for name in digits.target_names],
            sources={"image": pictures.__getitem__},
            vectors={"image": torch.from_numpy(grey.reshape(len(grey), -1))},
        )

    def divide(self, table: ItemTable) -> Splits:
        """A fifth of each class asks."""
        assert table.labels is not None
        return build_split("fifth", table.labels, seed=self.seed)


def enlarge(image: np.ndarray) -> Image.Image:
    """Return grey values 0..1 [8, 8] as an RGB picture of 32x32 pixels."""
    grey = Image.fromarray(np.round(image * 255).astype(np.uint8))
    return grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")
