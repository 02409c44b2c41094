"""Small data sets in the forms of others: OML tables, COCO's JSON, Hugging Face folders, WebDataset tars.

The pictures are squares of one colour, so that a method learns something in a second.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tests.coloured_squares import COLOURS, coloured

NAMES = list(COLOURS)
PARTS = {"train": 24, "test": 8}


def png(row: int) -> bytes:
    """Return square ``row``, of colour ``row % 4``, as a PNG."""
    buffer = io.BytesIO()
    coloured(NAMES[row % 4], row, 16).save(buffer, "PNG")
    return buffer.getvalue()


def oml(folder: Path) -> Path:
    """Write pictures and ``df.csv`` with OML's columns: 16 learned from, 8 ask, 8 are searched."""
    lines = ["label,path,split,is_query,is_gallery,category"]
    for row in range(32):
        (folder / f"{row}.png").write_bytes(png(row))
        split, asks, searched = ("train", "", "") if row < 16 else ("validation", row < 24, row >= 24)
        lines.append(f"{row % 4},{row}.png,{split},{asks},{searched},x")
    (folder / "df.csv").write_text("\n".join(lines) + "\n")
    return folder / "df.csv"


def coco(folder: Path, parts: tuple[tuple[str, int], ...] = (("train2017", 24), ("val2017", 8))) -> Path:
    """Write ``annotations/instances_*.json``, ``captions_*.json`` and pictures beside them, as COCO does."""
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": 10 * place + 1, "name": name} for place, name in enumerate(NAMES)]
    for part, count in parts:
        (folder / part).mkdir()
        images = [{"id": 1000 + row, "file_name": f"{row:06}.png", "height": 16, "width": 16} for row in range(count)]
        for row in range(count):
            (folder / part / f"{row:06}.png").write_bytes(png(row))
        boxes = [
            {"id": row, "image_id": 1000 + row, "category_id": 10 * (row % 4) + 1, "bbox": [0, 0, 9, 9]}
            for row in range(count)
        ] + [{"id": 999, "image_id": 1000, "category_id": 11}]  # the first picture has two labels
        said = [
            {"id": 2 * row + turn, "image_id": 1000 + row, "caption": f"{word} {NAMES[row % 4]} square"}
            for row in range(count)
            for turn, word in enumerate(("a", "one"))
        ]
        both = {"images": images, "info": {}, "licenses": []}
        instances = both | {"annotations": boxes, "categories": categories}
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(instances))
        (folder / "annotations" / f"captions_{part}.json").write_text(json.dumps(both | {"annotations": said}))
    return folder


def rows_of(count: int) -> pa.Table:
    """Return rows as Hugging Face ``datasets`` keeps them, their features in the head."""
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": NAMES},
        "caption": {"_type": "Value", "dtype": "string"},
    }
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array([{"bytes": png(row), "path": f"{row}.png"} for row in range(count)], kind),
            "label": pa.array([row % 4 for row in range(count)], pa.int64()),
            "caption": [f"a {NAMES[row % 4]} square" for row in range(count)],
        }
    )
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def saved_to_disk(folder: Path, tables: dict[str, pa.Table] | None = None) -> Path:
    """Write a ``DatasetDict`` as ``save_to_disk`` does: a folder a split, each of two streams of batches."""
    tables = tables or {name: rows_of(count) for name, count in PARTS.items()}
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(tables)}))
    for name, table in tables.items():
        (folder / name).mkdir()
        half, files = len(table) // 2, []
        for number, part in enumerate((table[:half], table[half:])):
            files.append({"filename": f"data-{number:05}-of-00002.arrow"})
            with pa.ipc.new_stream(folder / name / files[-1]["filename"], part.schema) as stream:
                stream.write_table(part, max_chunksize=5)
        (folder / name / "state.json").write_text(json.dumps({"_data_files": files, "_split": name}))
        (folder / name / "dataset_info.json").write_text("{}")
    return folder


def hub_folder(folder: Path) -> Path:
    """Write ``data/train-00000-of-00001.parquet`` and the test part, as the hub keeps them."""
    (folder / "data").mkdir(parents=True)
    for name, count in PARTS.items():
        parquet.write_table(rows_of(count), folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def tars(folder: Path) -> Path:
    """Write WebDataset shards ``train-000000.tar``, ``train-000001.tar`` and ``val-000000.tar``."""
    folder.mkdir()
    for name, rows in (("train-000000", range(12)), ("train-000001", range(12, 24)), ("val-000000", range(24, 32))):
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            for row in rows:
                said = {"png": png(row), "cls": str(row % 4).encode(), "txt": f"a {NAMES[row % 4]} square".encode()}
                for suffix, content in said.items():
                    member = tarfile.TarInfo(f"{row:06}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def is_square_of(picture: object, row: int) -> bool:
    """Say whether a decoded picture is square ``row``."""
    return bool(np.array_equal(np.asarray(picture), np.asarray(coloured(NAMES[row % 4], row, 16))))
