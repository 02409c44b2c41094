"""COCO's own JSON (Lin et al., ECCV 2014): ``instances_*.json`` gives labels, ``captions_*.json`` texts.

One file is one part (``train2017``, ``val2017``). The file of the other kind beside it is read too, so that pictures
have both labels and captions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deephash.data.items.item_list import ItemList, checksum_of_files, joined, told_apart, word_of
from deephash.data.split_words import split_of_name
from deephash.errors import DataError, DatasetNotFound
from deephash.foreign import read_bytes, refused_as

KINDS = ("instances", "captions")
_LONGEST = 2 << 30  # bytes; instances_train2017.json has 448 MB
Document = dict[str, Any]


def coco_files(path: Path) -> list[Path]:
    """Return the files to read for a JSON file (it alone) or a folder of them, one for each part."""
    if path.is_file():
        return [path]
    for folder in (path, path / "annotations"):
        parts: dict[str, Path] = {}
        for kind in reversed(KINDS):
            parts |= {_part(file): file for file in sorted(folder.glob(f"{kind}_*.json"))}
        if parts:
            return [parts[name] for name in sorted(parts)]
    return []


def read_coco(path: Path, root: Path | None) -> ItemList:
    """Read one file, or all parts of a folder; train is learned from and searched, val asks.

    Args:
        path: a JSON file, a folder of ``instances_*.json`` or ``captions_*.json``, or the folder above ``annotations``.
        root: where the pictures are; None looks in the usual places beside the annotations.

    Raises:
        DatasetNotFound: no such file.
        DataError: no COCO file, an image id that no image has, or a category that is not there.
    """
    files = coco_files(path)
    parts = [_Part(file, root, companion) for file in files for companion in [_companion(file)]]
    split = [split_of_name(part.name) for part in parts for _ in part.images]
    captions = any(part.captions is not None for part in parts)
    instances = any(part.classes is not None for part in parts)
    used = [each for file in files for each in (file, _companion(file)) if each is not None]
    return ItemList(
        source=str(path),
        names=[name for part in parts for name in part.names(len(parts) > 1)],
        checksum=checksum_of_files(used),
        pictures=[part.folder / image["file_name"] for part in parts for image in part.images],
        texts=[text for part in parts for text in part.texts()] if captions else None,
        labels=[word for part in parts for word in part.labels()] if instances else None,
        split=told_apart(split),
        notes=tuple(note for part in parts for note in part.notes),
    )


class _Part:
    """The images of one part, with what is said of them."""

    def __init__(self, file: Path, root: Path | None, companion: Path | None) -> None:
        self.file, self.name = file, _part(file)
        document = _read(file)
        self.images = _images(document, file)
        known = {image["id"] for image in self.images}
        self.notes: list[str] = []
        self.captions: dict[int, list[str]] | None = None
        self.classes: dict[int, list[str]] | None = None
        self._take(document, file, known, strict=True)
        if companion is not None:
            self._take(_read(companion), companion, known, strict=False)
            self.notes.append(f"{companion.name} beside {file.name} is read too")
        self.folder = _folder_of(file, self.images, root)

    def names(self, several: bool) -> list[str]:
        return [f"{self.name}/{image['file_name']}" if several else image["file_name"] for image in self.images]

    def texts(self) -> list[str]:
        found = self.captions or {}
        return [" ".join(found.get(image["id"], ())) for image in self.images]

    def labels(self) -> list[str]:
        found = self.classes or {}
        return [joined(found.get(image["id"], ())) for image in self.images]

    def _take(self, document: Document, file: Path, known: set[int], *, strict: bool) -> None:
        categories = _categories(document, file)
        for row, entry in enumerate(_list(document, "annotations", file)):
            place, image = f"{file}: annotations[{row}]", entry.get("image_id") if isinstance(entry, dict) else None
            if not isinstance(image, int) or image not in known:
                if strict:
                    raise DataError(f"{place} is of image id {image!r}, but no image of the file has it")
                continue
            if "caption" in entry:
                self.captions = self.captions or {}
                text = " ".join(str(entry["caption"] or "").split())
                self.captions.setdefault(image, []).extend([text] if text else [])
            elif "category_id" in entry:
                self.classes = self.classes or {}
                number = entry["category_id"]
                if not isinstance(number, int) or number not in categories:
                    raise DataError(
                        f"{place} has category_id {number!r}, which none of the {len(categories)} categories has"
                    )
                self.classes.setdefault(image, []).append(categories[number])
            else:
                raise DataError(f"{place} has neither 'caption' nor 'category_id'")


def _read(file: Path) -> Document:
    if not file.is_file():
        raise DatasetNotFound(f"{file.absolute()}: no such file")
    with refused_as(DataError, "it is no COCO file"):
        content = read_bytes(file, _LONGEST)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(document, dict):
        raise DataError(f"{file} is no COCO file: it holds no mapping with 'images' and 'annotations'")
    return document


def _images(document: Document, file: Path) -> list[dict[str, Any]]:
    images = list(_list(document, "images", file))
    if not images:
        raise DataError(f"{file} lists no images")
    seen: set[int] = set()
    for row, image in enumerate(images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not isinstance(image.get("id"), int):
            raise DataError(f"{file}: images[{row}] has no 'id' that is a number and 'file_name' that is text")
        if name.startswith("/") or "\\" in name or any(part in ("", "..") for part in name.split("/")):
            raise DataError(f"{file}: images[{row}] has the file name {name!r:.120}, which leads out of its folder")
        if image["id"] in seen:
            raise DataError(f"{file}: images[{row}] has id {image['id']}, as one before it")
        seen.add(image["id"])
    return images


def _list(document: Document, key: str, file: Path) -> Sequence[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise DataError(f"{file} is no COCO file: it has no list {key!r}")
    return found


def _categories(document: Document, file: Path) -> Mapping[int, str]:
    found = document.get("categories", [])
    for each in found if isinstance(found, list) else [None]:
        if not isinstance(each, dict) or not isinstance(each.get("id"), int) or not isinstance(each.get("name"), str):
            raise DataError(f"{file}: 'categories' is a list of mappings with a number 'id' and a text 'name'")
    return {each["id"]: word_of(each["name"]) for each in found}


def _part(file: Path) -> str:
    return file.stem.partition("_")[2] or file.stem


def _companion(file: Path) -> Path | None:
    """Return the file of the other kind beside ``file``."""
    kind, _, part = file.name.partition("_")
    if kind not in KINDS:
        return None
    other = file.with_name(f"{KINDS[1 - KINDS.index(kind)]}_{part}")
    return other if other.is_file() else None


def _folder_of(file: Path, images: Sequence[dict[str, Any]], root: Path | None) -> Path:
    """Return where the pictures are: as given, beside the file, or in the folder of the part beside ``annotations``."""
    base, part = root if root is not None else file.parent, _part(file)
    above = base.parent if root is None else base
    places = [base, base / part, base / "images", above / part, above / "images" / part, above / "images"]
    first = [str(image["file_name"]) for image in images[:20]]
    return next((place for place in places if any((place / name).is_file() for name in first)), base)
