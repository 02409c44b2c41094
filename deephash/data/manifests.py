"""Split manifests: who is query, train and database, as a text file that can be read, compared and checked.

A manifest is UTF-8 text. Lines that start with ``#`` are its head (``# key: value``), every other line is one item::

    # deephash-manifest: 1
    # protocol: flowers17/v1
    # classes: daffodil | snowdrop | ...
    # checksum: sha256:...                      (of the item lines, exactly as they stand)
    train,database<TAB>01_daffodil/image_0001.jpg<TAB>0
    query<TAB>01_daffodil/image_0061.jpg<TAB>0

The first column names the splits of the item (``-`` for none), the last its class numbers, separated by commas; it is
empty for an unlabelled item. Lists in HashNet's format (``path 0 0 1 ...``, one file a split) are read too.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deephash.collection.label_words import parse_labels, split_labels
from deephash.data.items.dividing import divide
from deephash.data.items.item_list import ItemList
from deephash.data.protocols import build_split, find_rule, split_checksum
from deephash.data.split_words import members_of_splits
from deephash.errors import DataError, DatasetNotFound, UsageError, did_you_mean

FORMAT = 1
SPLIT_NAMES = ("query", "train", "database", "validation_query", "validation_database")
_CLASS_SEPARATOR = " | "


@dataclass(frozen=True, eq=False)
class SplitManifest:
    """N entries and the splits they belong to.

    Attributes:
        protocol: e.g. ``flowers17/v1``.
        names: one relative path or id an entry; the same name may stand in several entries (that is what check finds).
        labels: class numbers of each entry; an empty tuple is an unlabelled one.
        splits: rows of the entries in each split, int64.
        class_names: words, in the order of the class numbers; may be empty.
        seed: of the draw, None where nothing was drawn.
        pairs: True where query and database are two sides of the same items (texts ask for their pictures).
        by_row: True where entries are all items of a data set in official order, and the checksum is taken of their row
            numbers, as a data module without file names does.
        remarks: lines for the reader.
    """

    protocol: str
    names: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    splits: Mapping[str, NDArray[np.int64]]
    class_names: tuple[str, ...] = ()
    seed: int | None = None
    pairs: bool = False
    by_row: bool = False
    remarks: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.names) != len(self.labels):
            raise UsageError(f"{len(self.names)} names but {len(self.labels)} label sets; an entry has one of each")
        unknown = [name for name in self.splits if name not in SPLIT_NAMES]
        if unknown:
            raise UsageError(f"no split is called {unknown[0]!r}{did_you_mean(unknown[0], list(SPLIT_NAMES))}")
        bad = [name for name in self.names if not name or any(sign in name for sign in "\t\n\r")]
        if bad:
            raise UsageError(f"a name in a manifest is not empty and holds no tab or line break: {bad[0]!r}")

    def __len__(self) -> int:
        return len(self.names)

    def names_of(self, split: str) -> list[str]:
        """Return the names of a split, repeated where entries repeat them; empty for a split that is not there."""
        return [self.names[row] for row in self.splits.get(split, ())]

    @property
    def checksum(self) -> str:
        """Checksum of who is query, train and database; it enters the protocol string."""
        if self.by_row:
            return split_checksum(self.splits)
        return split_checksum({name: self.names_of(name) for name in self.splits})

    @property
    def num_classes(self) -> int:
        """Number of classes named, or else the largest class number plus one."""
        return len(self.class_names) or 1 + max((number for labels in self.labels for number in labels), default=-1)

    def label_array(self) -> NDArray[np.int64] | NDArray[np.uint8]:
        """Return class numbers int64 [N] where nobody has two labels (-1: unlabelled), else multi-hot uint8 [N, C]."""
        if all(len(labels) <= 1 for labels in self.labels):
            return np.array([labels[0] if labels else -1 for labels in self.labels], dtype=np.int64)
        table = np.zeros((len(self), self.num_classes), dtype=np.uint8)
        for row, labels in enumerate(self.labels):
            table[row, list(labels)] = 1
        return table

    def to_text(self) -> str:
        """Return the file's text, checksum of the item lines included."""
        body = "".join(f"{line}\n" for line in self._item_lines())
        head = {
            "deephash-manifest": str(FORMAT),
            "protocol": self.protocol,
            "seed": "none" if self.seed is None else str(self.seed),
            "counts": " ".join(f"{name}={len(rows)}" for name, rows in self.splits.items()),
            **({"classes": _CLASS_SEPARATOR.join(self.class_names)} if self.class_names else {}),
            **({"pairs": "yes"} if self.pairs else {}),
            **({"by-row": "yes"} if self.by_row else {}),
            "checksum": _digest(body),
        }
        remarks = [f"# remark: {remark}" for remark in self.remarks]
        return "\n".join([*(f"# {key}: {value}" for key, value in head.items()), *remarks]) + "\n" + body

    def _item_lines(self) -> list[str]:
        belongs: list[list[str]] = [[] for _ in self.names]
        for name, rows in self.splits.items():
            for row in rows:
                belongs[row].append(name)
        return [
            f"{','.join(splits) or '-'}\t{name}\t{','.join(map(str, labels))}"
            for splits, name, labels in zip(belongs, self.names, self.labels, strict=True)
        ]


def write_manifest(manifest: SplitManifest, path: str | Path) -> None:
    """Write the text file, atomically."""
    partial = Path(f"{path}.partial")
    partial.write_text(manifest.to_text(), encoding="utf-8", newline="\n")
    os.replace(partial, path)


def read_manifest(path: str | Path) -> SplitManifest:
    """Read a manifest.

    Raises:
        DatasetNotFound: no such file.
        DataError: not a manifest, of a newer format, or changed since its checksum was written.
    """
    return parse_manifest(_read_text(path), source=str(path))


def parse_manifest(text: str, *, source: str = "manifest") -> SplitManifest:
    """Read the text of a manifest; see :func:`read_manifest`."""
    lines = text.split("\n")
    head_length = next((row for row, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head, remarks = _read_head(lines[:head_length])
    if head.get("deephash-manifest") is None:
        raise DataError(f"{source} is no split manifest: its first line is not '# deephash-manifest: {FORMAT}'")
    if head["deephash-manifest"] != str(FORMAT):
        raise DataError(f"{source} has manifest format {head['deephash-manifest']}; this deephash reads {FORMAT}")
    body = "\n".join(lines[head_length:])
    if "checksum" in head and head["checksum"] != _digest(body):
        raise DataError(
            f"{source} was changed since it was written (its checksum is {head['checksum']}, its lines have "
            f"{_digest(body)}); restore it, or delete the checksum line if the change is meant"
        )
    names, labels, splits = _read_items(body, head_length, source)
    classes = head.get("classes")
    return SplitManifest(
        protocol=head.get("protocol", "custom"),
        names=names,
        labels=labels,
        splits=splits,
        class_names=tuple(classes.split(_CLASS_SEPARATOR)) if classes else (),
        seed=int(head["seed"]) if head.get("seed", "none").isdecimal() else None,
        pairs=head.get("pairs") == "yes",
        by_row=head.get("by-row") == "yes",
        remarks=remarks,
    )


def read_hashnet_lists(lists: Mapping[str, str | Path], *, protocol: str = "custom") -> SplitManifest:
    """Read ``{"query": file, "train": file, "database": file}``, each line a path and its multi-hot label.

    Raises:
        DatasetNotFound: a file is missing.
        DataError: a line without labels, or with another number of classes than the first.
    """
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    splits = {}
    width = 0
    for split, path in lists.items():
        start = len(names)
        for number, line in enumerate(_read_text(path).splitlines(), start=1):
            if line.strip():
                width = width or _trailing_bits(line)
                name, numbers = _read_hashnet_line(line, width, f"{path}:{number}")
                names.append(name)
                labels.append(numbers)
        splits[split] = np.arange(start, len(names), dtype=np.int64)
    return SplitManifest(protocol, tuple(names), tuple(labels), splits)


def read_item_table(path: str | Path, root: str | Path | None = None) -> SplitManifest:
    """Read the list that :class:`deephash.data.Manifest` trains on, as a split to be checked.

    Raises:
        UsageError: it says a split that nobody knows, or nothing to draw one by.
    """
    from deephash.data.items.reading import read_items

    return manifest_of_items(read_items(Path(path), Path(root) if root is not None else None))


def manifest_of_items(items: ItemList) -> SplitManifest:
    """Return the split that a list of items says, or what training draws. Raises as :func:`read_item_table` does."""
    sets, _ = split_labels(items.labels or [])
    labels = parse_labels(items.labels)[0] if items.labels is not None else None
    drawn = divide(items, labels, has_texts=items.texts is not None, seed=0) if items.split is None else {}
    drawn = {name: rows for name, rows in drawn.items() if not name.startswith("validation")}
    words = sorted({word for labels in sets for word in labels})
    number = {word: index for index, word in enumerate(words)}
    said = members_of_splits(items.split or (), items.source) if items.split is not None else {}
    return SplitManifest(
        protocol=f"{Path(items.source).stem}/v1",
        names=tuple(items.names),
        labels=tuple(tuple(number[word] for word in labels) for labels in sets or [[] for _ in items.names]),
        splits=drawn or {split: np.array(rows, dtype=np.int64) for split, rows in said.items()},
        class_names=tuple(words),
        remarks=("the list says no split; this one is what training draws: a fifth asks",) if drawn else (),
        pairs=items.labels is None and items.texts is not None and items.pictures is not None,
    )


def shipped_manifests() -> list[str]:
    """Return the names of the data sets whose manifest comes with the package."""
    folder = files("deephash.data").joinpath("splits")
    return sorted(item.name.removesuffix(".tsv") for item in folder.iterdir() if item.name.endswith(".tsv"))


def shipped_manifest(name: str) -> SplitManifest:
    """Return a manifest that comes with the package, by the name of its data set (with or without ``/v1``)."""
    short = name.partition("/")[0]
    if short not in shipped_manifests():
        raise UsageError(f"no manifest of {short!r} comes with deephash{did_you_mean(short, shipped_manifests())}")
    item = files("deephash.data").joinpath("splits", f"{short}.tsv")
    return parse_manifest(item.read_text(encoding="utf-8"), source=f"shipped {short}")


def cifar10_labels() -> NDArray[np.int64]:
    """Return CIFAR-10's 60,000 class numbers in the official order, 50,000 training pictures first."""
    text = files("deephash.data").joinpath("splits", "cifar10_labels.txt").read_text(encoding="ascii")
    return np.frombuffer("".join(text.split()).encode(), dtype=np.uint8).astype(np.int64) - ord("0")


def manifest_of_rule(
    protocol: str,
    labels: NDArray[np.integer],
    *,
    n_train_images: int | None = None,
    seed: int = 0,
    names: tuple[str, ...] | None = None,
    class_names: tuple[str, ...] = (),
) -> SplitManifest:
    """Draw the lists of a named rule and return them as a manifest, validation lists included.

    Items are named ``train/00000``, ... and ``test/00000``, ... by their official position where no names are given.

    Raises:
        UsageError: unknown rule, labels that it cannot draw from, or a name that two items have.
    """
    rule = find_rule(protocol)
    if names is not None and len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise UsageError(
            f"{len(names) - len(set(names)):,} items are listed again, e.g. {twice!r}; list each item once"
        )
    splits = build_split(protocol, labels, n_train_images=n_train_images, seed=seed)
    table = np.asarray(labels)
    rows = map(np.flatnonzero, table) if table.ndim == 2 else [(number,) if number >= 0 else () for number in table]
    return SplitManifest(
        protocol=rule.protocol,
        names=names or tuple(official_names(len(labels), n_train_images)),
        labels=tuple(tuple(int(number) for number in numbers) for numbers in rows),
        splits=splits,
        class_names=class_names,
        seed=seed,
        by_row=names is None,
        remarks=(rule.summary, *_left_out(table, splits)),
    )


def _left_out(labels: NDArray[np.integer], splits: Mapping[str, NDArray[np.int64]]) -> tuple[str, ...]:
    """Return a remark that counts the items without a label that are in no split, where there are any."""
    bare = np.flatnonzero(~labels.any(axis=1) if labels.ndim == 2 else labels < 0)
    count = len(np.setdiff1d(bare, np.concatenate(list(splits.values()))))
    return (f"{count} of {len(labels)} items have no label and are in no list",) if count else ()


def official_names(count: int, n_train_images: int | None) -> list[str]:
    """Return ``train/00000``, ... and then ``test/00000``, ...: items without file names, by official position."""
    first = count if n_train_images is None else n_train_images
    return [f"train/{row:05d}" for row in range(first)] + [f"test/{row:05d}" for row in range(count - first)]


# Reading -----------------------------------------------------------------------------------------------


def read_head(path: Path) -> str:
    """Return the first letters of a file, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(64).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetNotFound(f"{path}: no such file; `deephash data list` names what comes with deephash") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from None


def _read_head(lines: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    pairs = [line.lstrip("# ").partition(":") for line in lines]
    remarks = tuple(value.strip() for key, _, value in pairs if key.strip() == "remark")
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip() != "remark"}, remarks


def _read_items(
    body: str, head_length: int, source: str
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...], dict[str, NDArray[np.int64]]]:
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    splits: dict[str, list[int]] = {}
    for number, line in enumerate(body.split("\n"), start=head_length + 1):
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) != 3 or not all(part.isdecimal() for part in cells[2].split(",") if part):
            raise DataError(f"{source}:{number}: a line is 'splits<TAB>name<TAB>class numbers', not {line[:80]!r}")
        for split in cells[0].split(","):
            if split not in (*SPLIT_NAMES, "-"):
                hint = did_you_mean(split, list(SPLIT_NAMES))
                raise DataError(f"{source}:{number}: no split is called {split!r}{hint}")
            splits.setdefault(split, []).append(len(names))
        names.append(cells[1])
        labels.append(tuple(int(part) for part in cells[2].split(",") if part))
    ordered = {name: np.array(splits[name], dtype=np.int64) for name in SPLIT_NAMES if name in splits}
    return tuple(names), tuple(labels), ordered


def _trailing_bits(line: str) -> int:
    count = 0
    for word in reversed(line.split()[1:]):
        if word not in ("0", "1"):
            break
        count += 1
    return count


def _read_hashnet_line(line: str, width: int, place: str) -> tuple[str, tuple[int, ...]]:
    words = line.strip().rsplit(maxsplit=width) if width else [line]
    if len(words) != width + 1 or not width or any(word not in ("0", "1") for word in words[1:]):
        count = width or "its"
        raise DataError(f"{place}: a line is a path and {count} numbers 0 or 1, one a class, not {line[:80]!r}")
    return words[0], tuple(index for index, word in enumerate(words[1:]) if word == "1")


def _digest(body: str) -> str:
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
