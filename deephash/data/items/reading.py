"""Read a list of items whatever its form is: a table, COCO's JSON, a Hugging Face folder, WebDataset tars."""

from __future__ import annotations

from pathlib import Path

from deephash.data.items.coco import coco_files, read_coco
from deephash.data.items.item_list import ItemList
from deephash.data.items.tars import read_tars, tar_files
from deephash.data.items.text_table import read_text_table
from deephash.errors import DatasetNotFound, UsageError

FORMS = (
    "a table (.csv, .tsv, .parquet), COCO's instances_*.json or captions_*.json (or their folder), a folder of Hugging "
    "Face datasets (save_to_disk, or Parquet files), or WebDataset tars (a .tar, a folder, train-{000..009}.tar)"
)
ENDINGS = (".csv", ".tsv", ".parquet", ".json", ".tar", ".arrow")


def is_item_list(path: Path) -> bool:
    """Say whether ``path`` is a list of items by its name, or a folder that holds one."""
    if path.is_dir():
        return _kind_of_folder(path) is not None
    return path.suffix.lower() in ENDINGS


def read_items(path: Path, root: Path | None = None) -> ItemList:
    """Return the items that ``path`` lists.

    Args:
        path: see ``FORMS``.
        root: folder that picture files are relative to; None takes the list's own (of COCO the usual places).

    Raises:
        DatasetNotFound: nothing is there.
        DataError: it is damaged, or one of its entries cannot be.
        UsageError: it is no such list, or lacks what is needed.
    """
    kind = _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    if kind == "coco":
        return read_coco(path, root)
    if kind == "tar":
        return read_tars(path)
    if kind == "arrow":
        from deephash.data.items.hugging_face import read_hugging_face

        return read_hugging_face(path)
    if kind == "table":
        return read_text_table(path, root if root is not None else path.parent)
    if not path.exists():
        raise DatasetNotFound(f"{path.absolute()}: no such file or folder")
    raise UsageError(f"{path} is no list of items; it may be {FORMS}. A folder a class is read by PictureFolder")


def _kind_of_file(path: Path) -> str | None:
    ending = path.suffix.lower()
    if ending == ".parquet" and path.is_file():
        from deephash.data.items.hugging_face import has_pictures

        return "arrow" if has_pictures(path) else "table"
    kinds = {".json": "coco", ".tar": "tar", ".arrow": "arrow", ".csv": "table", ".tsv": "table", ".parquet": "table"}
    return kinds.get(ending)


def _kind_of_folder(path: Path) -> str | None:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return "arrow"
    if coco_files(path):
        return "coco"
    if tar_files(path):
        return "tar"
    from deephash.data.items.hugging_face import arrow_files

    return "arrow" if arrow_files(path) else None
