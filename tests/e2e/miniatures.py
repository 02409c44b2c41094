"""Data sets in their real formats, but tiny: what every shipped configuration is tried on."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = 10


def compact_cifar10(path: Path, per_class: int = 620) -> Path:
    """The compact CIFAR-10 file: JPEG pictures end to end. The split rules need hundreds of items a class."""
    generator = np.random.default_rng(0)
    encoded = []
    for number in range(CLASSES):
        pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8) // 2 + 12 * number
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG")
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    labels = np.arange(CLASSES * per_class) % CLASSES
    offsets = np.concatenate([[0], np.cumsum([len(encoded[label]) for label in labels])])
    blob = np.concatenate([encoded[label] for label in labels])
    np.savez(path, blob=blob, offsets=offsets, labels=labels.astype(np.uint8), n_train=len(labels) - 1000)
    return path


def picture_folder(path: Path, classes: int = 3, per_class: int = 6) -> Path:
    """One sub-folder a class."""
    generator = np.random.default_rng(0)
    for number in range(classes):
        (path / f"class{number}").mkdir(parents=True)
        for picture in range(per_class):
            pixels = generator.integers(0, 80, (24, 30, 3)) + 80 * (np.arange(3) == number)
            Image.fromarray(pixels.astype(np.uint8)).save(path / f"class{number}" / f"{picture}.png")
    return path


def manifest(path: Path, pictures: Path, *, texts: bool = False) -> Path:
    """A CSV of the pictures of a folder: path, split, labels, and text where wanted."""
    lines = ["path,split,labels" + (",text" if texts else "")]
    for number, picture in enumerate(sorted(pictures.rglob("*.png"))):
        split = "query" if number % 3 == 0 else '"train,database"'
        words = f",a picture of {picture.parent.name} number {number}" if texts else ""
        lines.append(f"{picture.relative_to(path.parent)},{split},{picture.parent.name}{words}")
    path.write_text("\n".join(lines) + "\n")
    return path


def feature_file(path: Path, widths: Mapping[str, int], rows: int = 60, classes: int = 3) -> Path:
    """Separable feature vectors of every view."""
    generator = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    views = {
        f"{view}_features": (
            generator.normal(size=(classes, width))[labels] * 3 + generator.normal(size=(rows, width))
        ).astype(np.float32)
        for view, width in widths.items()
    }
    split = np.array(["query" if row % 4 == 0 else "train,database" for row in range(rows)])
    np.savez(path, labels=labels, split=split, **views)
    return path


def vectors(path: Path, width: int, rows: int = 60) -> Path:
    """Vectors around three centres, without labels."""
    generator = np.random.default_rng(0)
    centres = 3 * generator.normal(size=(3, width))
    np.save(path, (centres[np.arange(rows) % 3] + generator.normal(size=(rows, width))).astype(np.float32))
    return path


def write_mfeat(folder: Path) -> Path:
    """UCI mfeat in small: three views in 10 classes, 120 numerals to train on and 40 that ask."""
    from deephash.data.mfeat import VIEWS

    draw, path = np.random.default_rng(0), folder / "mfeat.npz"
    means = {kind: 3 * draw.normal(size=(10, width)) for kind, width in VIEWS.items()}
    arrays = {}
    for part, rows in (("train", 120), ("test", 40)):
        labels = np.arange(rows) % 10
        arrays[f"label_{part}"] = labels
        for kind, width in VIEWS.items():
            arrays[f"{kind}_{part}"] = (means[kind][labels] + draw.normal(size=(rows, width))).astype(np.float32)
    np.savez(path, **arrays)
    return path


def find_backbones(init_args: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return modality -> backbone description of a model's arguments, as they stand in YAML."""
    found = {}
    for name, value in init_args.items():
        if name == "backbone":
            found["image"] = value
        elif name.endswith("_backbone"):
            found[name.removesuffix("_backbone")] = value
        elif name == "backbones":
            found |= value
    return found
