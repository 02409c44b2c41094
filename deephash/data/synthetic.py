"""Data that is drawn and not collected: pictures of several things with captions, and two views of one hidden class.

They cost no download and no licence, are the same on every machine, and go through the same splits and protocols as
real data: to try a method in a minute, to test one, or to see what a method does where the truth is known. Figures on
them say nothing about photographs.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.protocols import Splits, build_split, instance_split
from deephash.data.table import ItemTable
from deephash.errors import UsageError

COLOURS = {
    "red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 210), "yellow": (225, 205, 50),
    "purple": (150, 60, 180), "orange": (235, 130, 30),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross")
THINGS = tuple(f"{colour} {shape}" for shape, colour in product(SHAPES, COLOURS))  # all colours of one shape first
SIDE = 48
VIEWS = {"image": 256, "text": 160}  # numbers of each view of SyntheticViews
Floats = NDArray[np.float64]


class SyntheticScenes(HashDataModule):
    """Pictures of one to three coloured shapes, with several labels and a caption each: multi-label and image-text.

    Every label is a thing such as "blue circle"; a picture shows its things at random places and sizes on a noisy
    ground, and its caption names them in a random order: "a red cross and a blue circle".

    Args:
        num_items: N.
        num_classes: C different things, 2 to 24.
        most_labels: a picture shows 1 to so many things; 1 makes class numbers instead of multi-hot labels.
        split: ``fifth`` (a fifth asks; relevant is what shares a label) or ``instances`` (no labels; a fifth asks and
            is searched, each text for its own picture, as in :class:`~deephash.data.Flickr8k`).
        seed: of pictures, captions and split.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        augment: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
        num_workers: see :class:`HashDataModule`.
    """

    def __init__(
        self,
        num_items: int = 1200,
        num_classes: int = 8,
        most_labels: int = 3,
        split: Literal["fifth", "instances"] = "fifth",
        seed: int = 0,
        batch_size: int = 64,
        hold_out: bool = True,
        augment: Augment = "none",
        cache_dir: str | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size, hold_out=hold_out, augment=augment, cache_dir=cache_dir, num_workers=num_workers
        )
        if not 2 <= num_classes <= len(THINGS):
            raise UsageError(f"num_classes lies between 2 and {len(THINGS)}, the number of things, not {num_classes}")
        if not 1 <= most_labels <= num_classes:
            raise UsageError(f"most_labels lies between 1 and {num_classes}, the number of classes, not {most_labels}")
        if num_items < 2 * num_classes:
            raise UsageError(f"{num_classes} classes take at least {2 * num_classes} items, not {num_items}")
        if split not in ("fifth", "instances"):
            raise UsageError(f"split is fifth or instances, not {split!r}")
        self.num_items, self.most_labels, self.split, self.seed = num_items, most_labels, split, seed
        self.things = THINGS[:num_classes]

    @property
    def protocol_name(self) -> str:
        """What was drawn, and how it is divided."""
        return f"synthetic-scenes-{self.num_items}x{len(self.things)}-{self.split}/v1"

    def read(self) -> ItemTable:
        """Draw labels and captions; pictures are drawn when they are asked for, and always alike."""
        draw = np.random.RandomState([self.seed, 0])
        self._shown = [self._things_of(row, draw) for row in range(self.num_items)]
        multi_hot = np.zeros((self.num_items, len(self.things)), np.uint8)
        for row, shown in enumerate(self._shown):
            multi_hot[row, shown] = 1
        labels = multi_hot if self.most_labels > 1 else multi_hot.argmax(axis=1).astype(np.int64)
        return ItemTable(
            names=[f"scene-{row:06}" for row in range(self.num_items)],
            labels=labels if self.split == "fifth" else None,
            class_names=list(self.things) if self.split == "fifth" else [],
            checksum=f"synthetic scenes 1: {self.num_items} {len(self.things)} {self.most_labels} {self.seed}",
            sources={"image": self.picture, "text": self.caption},
        )

    def divide(self, table: ItemTable) -> Splits:
        """A fifth asks."""
        if table.labels is None:
            return instance_split(len(table), self.seed)
        return build_split("fifth", table.labels, seed=self.seed)

    def caption(self, row: int) -> str:
        """Return the sentence of an item."""
        return " and ".join(f"a{'n' * (self.things[each][0] == 'o')} {self.things[each]}" for each in self._shown[row])

    def picture(self, row: int) -> Image.Image:
        """Return the RGB picture of an item, 48 x 48 pixels."""
        draw = np.random.RandomState([self.seed, 1, row])
        ground = draw.randint(90, 200) + draw.normal(0, 12, (SIDE, SIDE, 1)) + draw.normal(0, 6, (SIDE, SIDE, 3))
        canvas = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        for each in self._shown[row]:
            colour, shape = self.things[each].split()
            size = int(draw.randint(14, 23))
            left, top = (int(draw.randint(0, SIDE - size)) for _ in range(2))
            _stamp(ImageDraw.Draw(canvas), shape, (left, top, left + size, top + size), COLOURS[colour])
        return canvas

    def _things_of(self, row: int, draw: np.random.RandomState) -> list[int]:
        """Return the things of an item: of the first ones one each, so that no class is empty."""
        count = int(draw.randint(1, self.most_labels + 1))
        order = draw.permutation(len(self.things)).tolist()
        if row < 2 * len(self.things):
            order = [row % len(self.things), *(each for each in order if each != row % len(self.things))]
        shown: list[int] = order[:count]
        return shown


class SyntheticViews(HashDataModule):
    """Two vectors of one hidden class each, 256 numbers for a picture and 160 for a text; see :func:`two_views`.

    For cross-modal methods without any network: ``features:256`` and ``features:160``.

    Args:
        num_items: N.
        num_classes: C.
        seed: of the vectors and of the split.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
    """

    def __init__(
        self, num_items: int = 2400, num_classes: int = 10, seed: int = 0, batch_size: int = 256, hold_out: bool = True
    ) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out)
        if num_classes < 2 or num_items < 2 * num_classes:
            raise UsageError(
                f"at least 2 classes and twice as many items are needed, not {num_classes} and {num_items}"
            )
        self.num_items, self.classes, self.seed = num_items, num_classes, seed

    @property
    def protocol_name(self) -> str:
        """What was drawn; a fifth of each class asks."""
        return f"synthetic-views-{self.num_items}x{self.classes}-fifth/v1"

    def read(self) -> ItemTable:
        """Draw all items."""
        image, text, labels = two_views(self.seed, self.num_items, self.classes)
        return ItemTable(
            names=[f"pair-{row:06}" for row in range(self.num_items)],
            labels=labels,
            class_names=[f"class {number}" for number in range(self.classes)],
            checksum=f"synthetic views 1: {self.num_items} {self.classes} {self.seed}",
            vectors={"image": torch.from_numpy(image).float(), "text": torch.from_numpy(text).float()},
        )

    def divide(self, table: ItemTable) -> Splits:
        """A fifth of each class asks."""
        assert table.labels is not None
        return build_split("fifth", table.labels, seed=self.seed)


def two_views(seed: int, count: int = 2400, num_classes: int = 10) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return (image [n, 256], text [n, 160], labels [n]) with common and private factors and noise.

    y is uniform, s = mu_y + N(0, I_16) with mu ~ 1.6 N(0, I_16); per view x = tanh((P s + N p) / 2) + N(0, I) with P ~
    N(0, 1/16), N ~ N(0, 1/32) and private p ~ N(0, I_32).
    """
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, num_classes, count)
    shared = (1.6 * draw.standard_normal((num_classes, 16)))[labels] + draw.standard_normal((count, 16))
    views = []
    for width in VIEWS.values():
        common, private = draw.standard_normal((width, 16)) / 4, draw.standard_normal((width, 32)) / 32**0.5
        own = draw.standard_normal((count, 32))
        noise = draw.standard_normal((count, width))
        views.append(np.tanh((shared @ common.T + own @ private.T) / 2) + noise)
    return views[0], views[1], labels


def _stamp(pen: ImageDraw.ImageDraw, shape: str, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    third = (right - left) // 3
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    elif shape == "triangle":
        pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
    else:
        pen.rectangle((left + third, top, right - third, bottom), fill=colour)
        pen.rectangle((left, top + third, right, bottom - third), fill=colour)
