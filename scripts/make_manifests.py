"""Write the split manifests that come with deephash from a folder of the data themselves.

    python scripts/make_manifests.py DATA deephash/data/splits

DATA holds cifar10/, flowers17/, caltech101/, wiki/, fashion/ and flickr8k_1000/. Only names and class numbers are
written, never a picture or a feature. A second run writes the same bytes.
"""

import json
import sys
from pathlib import Path

import numpy as np

from deephash.data.manifests import SplitManifest, write_manifest


def flowers17(data: Path) -> SplitManifest:
    """First 60 of the 80 photos of a class are learned from and searched, the last 20 ask."""
    names = sorted(str(path.relative_to(data)) for path in data.glob("*/*.jpg"))
    asks = np.array([(int(name[-8:-4]) - 1) % 80 >= 60 for name in names])
    return _classified("flowers17/v1", names, asks, "first 60 of 80 photos a class learned and searched, last 20 ask")


def caltech101(data: Path) -> SplitManifest:
    """The folders train and test; 20 and 10 photos a class, background left out."""
    names = sorted(str(path.relative_to(data)) for path in data.glob("*/*/*.jpg"))
    asks = np.array([name.startswith("test/") for name in names])
    return _classified("caltech101/v1", names, asks, "20 photos a class learned and searched, 10 other ones ask")


def wiki(data: Path) -> SplitManifest:
    """The published parts: 2,173 learned and searched, 693 ask. Named by the text's id."""
    with np.load(data / "wiki_features.npz") as table:
        train, test = table["text_id_train"].tolist(), table["text_id_test"].tolist()
        labels = np.concatenate([table["label_train"], table["label_test"]])
        classes = tuple(table["class_names"].tolist())
    asks = np.arange(len(labels)) >= len(train)
    remark = "published parts; the 2010 paper ranks within the 693 test items instead"
    return _manifest("wiki/v1", train + test, labels, asks, classes, remark)


def fashion(data: Path) -> SplitManifest:
    """Split of the item list: 20 queries a type; the rest is searched, 4,000 of it learned from."""
    items = [json.loads(line) for line in (data / "fashion_items.jsonl").read_text(encoding="utf-8").splitlines()]
    classes = sorted({item["type"] for item in items})
    parts = np.array([item["split"] for item in items])
    splits = {
        "query": np.flatnonzero(parts == "query"),
        "train": np.flatnonzero(parts == "train"),
        "database": np.flatnonzero(parts != "query"),
    }
    labels = tuple((classes.index(item["type"]),) for item in items)
    names = tuple(str(item["id"]) for item in items)
    remark = "product ids; the catalogue holds 32 groups of byte-identical photos under different ids"
    return SplitManifest("fashion/v1", names, labels, splits, tuple(classes), remarks=(remark,))


def flickr8k(data: Path) -> SplitManifest:
    """Every fifth photo with its captions asks and is searched (pairs); the others are learned from."""
    lines = (data / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    names = tuple(json.loads(line)["file"] for line in lines)
    asks = np.arange(len(names)) % 5 == 4
    splits = {"query": np.flatnonzero(asks), "train": np.flatnonzero(~asks), "database": np.flatnonzero(asks)}
    labels = tuple((row,) for row in range(len(names)))
    remark = "no official split; every fifth photo by name; a caption's right answer is its own photo"
    return SplitManifest("flickr8k_1000/v1", names, labels, splits, pairs=True, remarks=(remark,))


def _classified(protocol: str, names: list[str], asks: np.ndarray, remark: str) -> SplitManifest:
    words = [Path(name).parent.name for name in names]
    classes = tuple(sorted(set(words)))
    labels = np.array([classes.index(word) for word in words])
    return _manifest(protocol, names, labels, asks, classes, remark)


def _manifest(
    protocol: str, names: list[str], labels: np.ndarray, asks: np.ndarray, classes: tuple[str, ...], remark: str
) -> SplitManifest:
    query, rest = np.flatnonzero(asks), np.flatnonzero(~asks)
    numbers = tuple((int(label),) for label in labels)
    return SplitManifest(
        protocol, tuple(names), numbers, {"query": query, "train": rest, "database": rest}, classes, remarks=(remark,)
    )


def main(data: Path, out: Path) -> None:
    """Write every manifest, and CIFAR-10's class numbers in official order."""
    write_manifest(flowers17(data / "flowers17"), out / "flowers17.tsv")
    write_manifest(caltech101(data / "caltech101"), out / "caltech101.tsv")
    write_manifest(wiki(data / "wiki"), out / "wiki.tsv")
    write_manifest(fashion(data / "fashion"), out / "fashion.tsv")
    write_manifest(flickr8k(data / "flickr8k_1000"), out / "flickr8k_1000.tsv")
    with np.load(data / "cifar10" / "cifar10_jpeg.npz") as table:
        digits = "".join(map(str, table["labels"].tolist()))
    rows = (digits[start : start + 100] for start in range(0, len(digits), 100))
    (out / "cifar10_labels.txt").write_text("\n".join(rows) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
