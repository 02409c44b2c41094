"""``deephash dedup``: which pictures are nearly the same? It makes a list and deletes nothing."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from deephash.cli.output import note, print_json
from deephash.collection import Collection, Item
from deephash.index.dedup import DuplicateGroup, near_duplicates

Keep = Literal["largest", "oldest", "first"]
Listed = tuple[Item, list[tuple[Item, int]]]  # the picture to keep; the others with their distances


def dedup(
    collection: Path,
    /,
    *,
    radius: int = 0,
    grouping: Literal["star", "chain"] = "star",
    keep: Keep = "largest",
    where: str | None = None,
    column: str = "code",
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    paths: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """List groups of near-duplicates; nothing is ever deleted.

    $ deephash dedup pictures.dh
    $ deephash dedup pictures.dh --radius 3 --out duplicates.csv
    $ deephash dedup phash.dh --radius 6 --paths

    Codes of supervised models find "the same class", not "the same picture": use a self-supervised or training-free
    model, or imported perceptual hashes.

    Args:
        collection: the folder.
        radius: largest distance in bits within a group, inclusive.
        grouping: star (all within the radius of the picture that is kept) or chain (of the next one).
        keep: which picture of a group comes first: the one with most pixels, the oldest, or the first indexed.
        where: only among these, for example ``year >= 2019``.
        column: which codes.
        out: write a CSV (group, keep, distance, path) here.
        json: one JSON object a group.
        paths: print only the paths of the pictures that would not be kept.
    """
    opened = Collection.open(collection)
    ids, codes = opened.codes(column)
    if where is not None:
        chosen = np.isin(ids, opened.matching(where))
        ids, codes = ids[chosen], codes[chosen]
    groups = near_duplicates(ids, codes, radius, grouping=grouping, priority=_priority(opened, ids, keep))
    listed = _looked_up(opened, groups)
    if out is not None:
        _write(listed, out)
    if json:
        for number, (kept, others) in enumerate(listed, 1):
            twins = [{"id": item.id, "path": item.uri, "distance": distance} for item, distance in others]
            print_json({"group": number, "keep": {"id": kept.id, "path": kept.uri}, "others": twins})
    elif paths:
        for _, others in listed:
            for item, _ in others:
                print(item.uri)
    else:
        _print(listed)
    extra = sum(len(others) for _, others in listed)
    note(f"{len(listed):,} groups within {radius} bits; {extra:,} of {len(ids):,} pictures could go; none was deleted")
    return 0 if listed else 1


def _priority(opened: Collection, ids: NDArray[np.int64], keep: Keep) -> NDArray[np.float64] | None:
    """Return a number a picture, larger for what should be kept; unknown counts least."""
    if keep == "first":
        return None
    table = opened.table(["width", "height", "size", "mtime", "taken"])
    rows = np.searchsorted(table.column("id").to_numpy(), ids)
    value = {name: _numbers(table.column(name).to_pylist())[rows] for name in table.column_names[1:]}
    if keep == "oldest":
        when = np.where(np.isnan(value["taken"]), value["mtime"], value["taken"])
        return np.nan_to_num(-when, nan=-np.inf, neginf=-1e300)
    pixels = np.nan_to_num(value["width"] * value["height"])
    return pixels + np.nan_to_num(value["size"]) / 1e12  # among equal pixels the larger file


def _numbers(values: list[object]) -> NDArray[np.float64]:
    from datetime import UTC, datetime

    plain = [value.replace(tzinfo=UTC).timestamp() if isinstance(value, datetime) else value for value in values]
    return np.array([np.nan if value is None else value for value in plain], np.float64)


def _looked_up(opened: Collection, groups: Sequence[DuplicateGroup]) -> list[Listed]:
    """Return the items of all groups; read at once, because each read of a collection takes a millisecond."""
    items = iter(opened.items([item for group in groups for item in (group.kept, *group.others.tolist())]))
    return [(next(items), [(next(items), distance) for distance in group.distances.tolist()]) for group in groups]


def _write(listed: list[Listed], out: Path) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "keep", "distance", "path"))
        for number, (kept, others) in enumerate(listed, 1):
            writer.writerow((number, "yes", 0, kept.uri))
            writer.writerows((number, "no", distance, item.uri) for item, distance in others)


def _print(listed: list[Listed]) -> None:
    for kept, others in listed:
        print(f"keep  {kept.uri}{_dimensions(kept)}")
        for item, distance in others:
            print(f"  {distance:3}  {item.uri}{_dimensions(item)}")


def _dimensions(item: Item) -> str:
    width, height = item.attributes.get("width"), item.attributes.get("height")
    return f"  {width} x {height}" if width and height else ""
