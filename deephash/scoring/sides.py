"""CodePair: who asks and who is searched, wherever the codes came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deephash.collection.label_words import SEVERAL, parse_labels, without_unlabelled
from deephash.collection.seen import SeenItems
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.codefile import CodeFile
from deephash.reports.protocol import Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

    from deephash.collection import Collection

TASKS = {"i2t": ("image", "text"), "t2i": ("text", "image"), "i2i": ("image", "image"), "t2t": ("text", "text")}
QUERY_FILE, DATABASE_FILE = "query.npz", "database.npz"  # of a folder of codes
LEAST_QUERIES = 1
ASKING_SHARE = 0.2
PICTURE_SIDE = 160  # of contact sheets


@dataclass(frozen=True, eq=False)
class CodePair:
    """Two sides ready to be scored.

    Attributes:
        query: the side that asks.
        database: the side that is searched.
        method: name for tables.
        protocol: what is known about data and model.
        train: features and labels that baselines may be fitted to; None takes the database's.
        open_picture: name of an item -> picture.
        timings: seconds spent on making the codes.
        warnings: what a reader must know before quoting a figure.
    """

    query: CodeFile
    database: CodeFile
    method: str
    protocol: Protocol = field(default_factory=Protocol)
    train: CodeFile | None = None
    open_picture: Callable[[str], Image] | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Stage(CodePair):
    """A model of a lifelong series with its codes.

    Attributes:
        ahead: queries and items of the next session, encoded before it was learned; None where nobody did.
        seconds: that its training took; None where unknown.
    """

    ahead: CodePair | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Draw:
    """Which items of a collection ask for the rest.

    Attributes:
        label: attribute that holds the class.
        num_queries: items that ask, at most; and at most a fifth of the labelled ones.
        seed: of the draw.
        held_out: only items ask that the collection's model was not trained on.
    """

    label: str = "label"
    num_queries: int = 1000
    seed: int = 0
    held_out: bool = False


def is_folder_of_codes(path: str | Path) -> bool:
    """Whether a folder holds the two sides as ``query.npz`` and ``database.npz``."""
    return (Path(path) / QUERY_FILE).is_file() and (Path(path) / DATABASE_FILE).is_file()


def collection_pair(collection: Collection, draw: Draw) -> CodePair:
    """Let some items of a collection ask for the rest.

    Items whose attribute ``split`` is ``query`` ask, where there are such; else those that are drawn. Items with an
    empty label are searched but do not ask.

    Raises:
        UsageError: no such attribute, too few items, or none that the model has not seen.
    """
    kinds, label = collection.attribute_kinds, draw.label
    if label not in kinds:
        raise UsageError(
            f"the collection has no attribute {label!r} to take the classes from{did_you_mean(label, sorted(kinds))} "
            "deephash index takes the sub-folder as 'label'; choose another with --label"
        )
    ids, codes = collection.codes(collection.the_one_space("evaluate it"))
    table = collection.table(["uri", label, "content_hash", *(["split"] if "split" in kinds else [])])
    rows = np.searchsorted(table.column("id").to_numpy(), ids)
    words = np.array(["" if value is None else str(value) for value in table.column(label).to_pylist()])[rows]
    uris = np.array(table.column("uri").to_pylist(), dtype=str)[rows]
    parts = np.array(table.column("split").to_pylist(), dtype=object)[rows] if "split" in kinds else None
    hashes = np.array(table.column("content_hash").to_pylist(), dtype=object)[rows]
    seen = _seen(collection, hashes, uris)
    asks, searched, dataset = _who_asks(words, parts, draw, seen)
    features = _vectors(collection, ids)
    several = any(SEVERAL in word for word in words)
    labels, class_names = (
        parse_labels(words.tolist()) if several else (np.array(without_unlabelled(words.tolist()), dtype=str), [])
    )

    def side(chosen: NDArray[np.int64]) -> CodeFile:
        return CodeFile(
            codes[chosen],
            labels=labels[chosen],
            names=uris[chosen],
            class_names=tuple(class_names),
            features=None if features is None else features[chosen],
            source=str(collection.path),
        )

    return CodePair(
        side(asks),
        side(searched),
        method=collection.path.stem,
        protocol=Protocol(dataset=dataset),
        open_picture=_opener(collection),
        warnings=tuple(_memory_warning(collection, seen, asks)),
    )


def _seen(collection: Collection, hashes: NDArray[Any], uris: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Say which items trained the collection's model; nobody, where the model does not know."""
    seen = None if collection.model_path is None else SeenItems.load(collection.model_path)
    return np.zeros(len(uris), bool) if seen is None else seen.mask(hashes.tolist(), uris.tolist())


def _memory_warning(collection: Collection, seen: NDArray[np.bool_], asks: NDArray[np.int64]) -> Iterator[str]:
    known = int(seen[asks].sum())
    if known:
        others = int((~seen).sum())
        instead = (
            f"deephash evaluate {collection.path} --held-out asks with the {others:,} others only"
            if others
            else "index pictures that it has not seen, or score its run: deephash evaluate RUN"
        )
        yield (
            f"{known:,} of the {len(asks):,} queries trained this model: the figures say how well it remembers, "
            f"not how well it finds new pictures; {instead}"
        )


def _who_asks(
    words: NDArray[np.str_],
    parts: NDArray[Any] | None,
    draw: Draw,
    seen: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Return who asks, who is searched, and the name of that division."""
    able = ~seen if draw.held_out else np.ones(len(words), bool)
    named = "held-out-" if draw.held_out else ""
    if not able.any():
        raise UsageError(
            "the model was trained on every item of this collection, so none is held out; index pictures that it has "
            "not seen, or score its run: deephash evaluate RUN"
        )
    if parts is not None and ((parts == "query") & able).any():
        return np.flatnonzero((parts == "query") & able), np.flatnonzero(parts != "query"), f"collection-{named}split"
    if draw.num_queries < LEAST_QUERIES:
        raise UsageError(f"at least {LEAST_QUERIES} item must ask, not {draw.num_queries}")
    labelled = words != ""
    may_ask = np.flatnonzero(labelled & able)
    count = min(draw.num_queries, int(ASKING_SHARE * labelled.sum()), len(may_ask))
    if not count:
        raise UsageError(
            f"{labelled.sum()} labelled items are too few: a fifth of them asks for the rest; is --label right?"
        )
    drawn = np.sort(np.random.RandomState(draw.seed).permutation(may_ask)[:count])  # its stream is frozen for good
    return drawn, np.setdiff1d(np.arange(len(words)), drawn), f"collection-{named}draw-{count}-seed-{draw.seed}"


def _vectors(collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.floating] | None:
    try:
        return collection.vectors(ids).astype(np.float32) if collection.has_vectors else None
    except UsageError:  # some rows came without
        return None


def _opener(collection: Collection) -> Callable[[str], Image] | None:
    from deephash.collection.sources.again import source_of
    from deephash.pictures import open_picture

    if collection.root is None:
        return None

    def open_by_uri(uri: str) -> Image:
        found = collection.find([uri])
        return open_picture(source_of(collection, collection.items([found[uri]])[0]), reduced_to=PICTURE_SIDE)

    return open_by_uri
