"""A collection without a query: its items on shelves, by folder, date, class or cluster. No Gradio in here."""

from __future__ import annotations

import calendar
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from deephash.collection import Collection
from deephash.collection.reader import INSIDE
from deephash.search.clusters import Clusters

from .results import counted

COVERS = 4  # pictures that stand for a shelf
MOSTLY = 0.5  # share of one class from which a cluster is called by it
UNDATED = "without a date"
MONTHS = calendar.month_name  # in English: no locale is set
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shelf:
    """Items that stand together.

    Attributes:
        title: what they share.
        ids: int64, in the order they are shown; the first ones stand for all.
    """

    title: str
    ids: Ids

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known of the items of one version of a collection.

    Attributes:
        collection: opened at that version.
        ids: int64 [N], ascending.
        uris: their paths [N].
        labels: their classes [N], None where unknown; empty where the collection has none.
        dates: when they were taken, else when their files were changed; empty where unknown.
        dated: what the dates are, in words.
    """

    collection: Collection
    ids: Ids
    uris: Sequence[str]
    labels: Sequence[str | None]
    dates: Sequence[datetime | None]
    dated: str
    _shelves: dict[str, list[Shelf]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, collection: Collection) -> Catalogue:
        """Read paths, classes and dates."""
        kinds = collection.attribute_kinds
        names = [name for name in ("label", "taken", "mtime") if name in kinds]
        table = collection.table(["uri", *names])
        values = {name: table.column(name).to_pylist() for name in ("uri", *names)}
        taken, changed = values.get("taken", []), values.get("mtime", [])
        has_taken = any(date is not None for date in taken)
        dates = taken if has_taken else changed if any(date is not None for date in changed) else []
        labels = values.get("label", [])
        labels = labels if any(label is not None for label in labels) else []
        dated = "when they were taken" if has_taken else "when their files were changed"
        return cls(collection, table.column("id").to_numpy(), values["uri"], labels, dates, dated)

    @property
    def ways(self) -> list[str]:
        """How these items can be put onto shelves."""
        there = {"folder": True, "date": bool(self.dates), "class": bool(self.labels), "cluster": len(self.ids) > 3}
        return [way for way, possible in there.items() if possible]

    def shelves(self, way: str) -> list[Shelf]:
        """Return the shelves by folder, date or class; made once."""
        with self._lock:
            if way not in self._shelves:
                make = {"folder": self._by_folder, "date": self._by_date, "class": self._by_class}
                self._shelves[way] = make[way]()
            return self._shelves[way]

    def clusters(self, ids: Ids, found: Clusters) -> list[Shelf]:
        """Return the shelves of clusters of ``ids``, the largest first, each with its middle in front."""
        shelves = []
        for number, middle in enumerate(found.middles.tolist()):
            members = ids[found.of == number]
            ordered = np.concatenate([ids[[middle]], members[members != ids[middle]]])
            shelves.append(Shelf(self._called(ordered, number), ordered))
        return shelves

    def uri_of(self, item: int) -> str:
        """Return the path of an item of this version."""
        return self.uris[int(np.searchsorted(self.ids, item))]

    def _called(self, ids: Ids, number: int) -> str:
        title = f"Cluster {number + 1}"
        if not self.labels:
            return title
        places = np.searchsorted(self.ids, ids).tolist()
        labels = [self.labels[place] for place in places if self.labels[place] is not None]
        if not labels:
            return title
        values, counts = np.unique(np.array(labels, dtype=object).astype(str), return_counts=True)
        return f"{title}: mostly {values[counts.argmax()]}" if counts.max() >= MOSTLY * len(ids) else f"{title}: mixed"

    def _by_folder(self) -> list[Shelf]:
        return self._sorted_by([_folder(uri) for uri in self.uris], key=lambda name: name, title=lambda name: name)

    def _by_class(self) -> list[Shelf]:
        named = [label or "" for label in self.labels]
        return self._sorted_by(named, key=lambda name: (not name, name), title=lambda name: name or "without a class")

    def _by_date(self) -> list[Shelf]:
        months = ["" if date is None else f"{date:%Y-%m}" for date in self.dates]

        def title(month: str) -> str:
            return f"{MONTHS[int(month[5:])]} {month[:4]}" if month else UNDATED

        shelves = self._sorted_by(months, key=lambda month: month, title=title)[::-1]  # the newest first
        return [shelf for shelf in shelves if shelf.title != UNDATED] + [
            shelf for shelf in shelves if shelf.title == UNDATED
        ]

    def _sorted_by(
        self, values: Sequence[str], *, key: Callable[[str], object], title: Callable[[str], str]
    ) -> list[Shelf]:
        distinct, of = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
        order = np.argsort(of, kind="stable")
        bounds = np.searchsorted(of[order], np.arange(len(distinct) + 1))
        parts = {name: self.ids[order[bounds[n] : bounds[n + 1]]] for n, name in enumerate(distinct.tolist())}
        return [Shelf(title(name), parts[name]) for name in sorted(parts, key=key)]  # type: ignore[arg-type]


def _folder(uri: str) -> str:
    if uri.startswith(INSIDE):
        return "added on this page"
    return uri.rpartition("/")[0] or "top folder"


def shelf_label(shelf: Shelf) -> str:
    """Return what a screen reader says of a shelf."""
    return f"{shelf.title}, {counted(len(shelf), 'picture')}"
