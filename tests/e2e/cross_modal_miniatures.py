"""Small files in the real formats of the cross-modal data sets, for configurations run on miniatures."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

TYPES = ("Shirts", "Watches", "Sandals", "Belts")


def write_wiki(folder: Path) -> Path:
    """Write ``wiki_features.npz`` with 60 training and 20 test articles of ten classes."""
    draw = np.random.default_rng(0)
    columns = {}
    for part, count in (("train", 60), ("test", 20)):
        columns[f"label_{part}"] = np.arange(count) % 10
        columns[f"image_{part}"] = draw.dirichlet(np.ones(128), count)
        columns[f"text_{part}"] = draw.dirichlet(np.ones(10), count)
    np.savez(folder / "wiki_features.npz", **columns)
    return folder / "wiki_features.npz"


def write_fashion(folder: Path) -> Path:
    """Write a folder ``fashion`` of 48 product photos with titles and types."""
    draw = np.random.default_rng(0)
    (folder / "fashion").mkdir()
    files, lines = [], []
    for row in range(48):
        kind, buffer = TYPES[row % 4], io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (80, 60, 3), np.uint8)).save(buffer, "JPEG")
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
        split = ("train", "train", "database", "query")[row // 4 % 4]
        lines.append({"id": row, "title": f"Men Black {kind} {row % 3}", "type": kind, "split": split})
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(folder / "fashion" / "fashion_images.npz", blob=np.concatenate(files), offsets=offsets)
    (folder / "fashion" / "fashion_items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "fashion"
