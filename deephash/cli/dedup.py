"""``deephash dedup``: which pictures are nearly the same? It makes a list and deletes nothing.

Of a collection by its codes, of a folder by perceptual hashes that are made now, of a stream by Bloom filters.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from deephash.cli.dedup_stream import Streaming, dedup_stream
from deephash.cli.output import note, print_json
from deephash.codes import BinaryCodes
from deephash.collection import Collection, Item
from deephash.collection.card import is_collection
from deephash.collection.schema import CODE
from deephash.errors import UsageError
from deephash.index.dedup import DuplicateGroup
from deephash.search.copies import PHASH, Copies, Like, find_copies, perceptual_codes, supervised_method

MANY = 0.2  # share of the pictures that would go, from which the answer is doubted
DOUBT = (
    "things of one outline on one ground, such as one mock-up with many prints, pass for copies; "
    "--least 0.97 asks for more"
)

Keep = Literal["largest", "oldest", "first"]
Listed = tuple[Item, list[tuple[Item, int]]]  # the picture to keep; the others with their distances


def dedup(
    source: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    like: Like = "copies",
    radius: Literal["auto"] | int = "auto",
    least: float = 0.9,
    grouping: Literal["star", "chain"] = "star",
    keep: Keep = "largest",
    where: str | None = None,
    column: str = "code",
    force: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    paths: Annotated[bool, Parameter(negative="")] = False,
    model: str | None = None,
    stream: Annotated[bool, Parameter(negative="")] = False,
    items: int | None = None,
    false_positives: float | None = None,
    bands: int | None = None,
    filter: Path | None = None,
) -> int:
    """List groups of copies of the same picture; nothing is ever deleted.

    $ deephash dedup ~/Pictures                      # by perceptual hashes that are made now; no model is needed
    $ deephash dedup pictures.dh
    $ deephash dedup pictures.dh --like files
    $ deephash dedup pictures.dh --column phash --out duplicates.csv
    $ deephash dedup pdq.dh --like alike --radius 31 --paths
    $ deephash dedup shards/ --stream --items 10_000_000 --filter seen.npz --out seen.txt
    $ deephash dedup more/ --stream --filter seen.npz       # what of it was in shards/?
    $ print-codes | deephash dedup - --stream --items 1_000_000     # lines HEX, or HEX, a tab and a name

    Codes of supervised models find "the same class", not "the same picture", and are refused: perceptual hashes of the
    same pictures (--column phash), or a collection of training-free codes, do it.

    --stream is for sets that fit no memory: each item is looked at once, in order, and those that are like one before
    are printed; only Bloom filters are kept. After Ctrl-C the same command goes on where it stopped.

    Args:
        source: a collection, or a folder of pictures; of --stream also a tar, a code file (.npz, .npy) or - for a pipe.
        like: files (equal byte by byte), copies (near by code, confirmed by their pixels: scaled, recompressed,
            recoloured, trimmed, framed, stamped ones), or alike (near by code alone: also series of one scene).
        radius: largest distance in bits of a candidate; auto chooses it from the collection's own distances.
        least: likeness of pixels from which two pictures are copies, up to 1.
        grouping: star (all are copies of the picture that is kept) or chain (of the next one).
        keep: which picture of a group comes first: the one with most pixels, the oldest, or the first indexed.
        where: only among these, for example ``year >= 2019``.
        column: which codes; phash computes perceptual hashes of the pictures now.
        force: also take the codes of a supervised model.
        out: write a CSV (group, keep, distance, path) here.
        json: one JSON object a group.
        paths: print only the paths of the pictures that would not be kept.
        model: of pictures that are in no collection: phash, phash:256, dhash, ahash, or a model folder.
        stream: print what was seen before, in constant memory, instead of groups.
        items: of --stream, how many may ever come; the filter is made for them.
        false_positives: of --stream, the share of new items that may be taken for seen ones when all are in; 1e-4.
        bands: of --stream, b: codes up to b - 1 bits apart are never missed; as many as false_positives allows.
        filter: of --stream, the file that a run stops at and goes on from, and that later runs extend.
    """
    if stream:
        _require_plain(like=like, radius=radius, where=where, column=column, paths=paths, force=force)
        return dedup_stream(source, Streaming(items, false_positives, bands, filter, model), out, json)
    given = {"--items": items, "--false-positives": false_positives, "--bands": bands, "--filter": filter}
    if alone := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(alone)} is an option of --stream, which keeps no codes; add --stream")
    with _opened(source, model) as opened:
        return _dedup(opened, like, radius, least, grouping, keep, where, column, force, out, json, paths)


def _dedup(
    opened: Collection,
    like: Like,
    radius: Literal["auto"] | int,
    least: float,
    grouping: Literal["star", "chain"],
    keep: Keep,
    where: str | None,
    column: str,
    force: bool,
    out: Path | None,
    json: bool,
    paths: bool,
) -> int:
    ids, codes = _codes(opened, column, where, like, force)
    asked = None if radius == "auto" else radius
    priority = _priority(opened, ids, keep)
    found = find_copies(opened, ids, codes, like=like, radius=asked, least=least, grouping=grouping, priority=priority)
    listed = _looked_up(opened, found.groups)
    if out is not None:
        _write(listed, out)
    _show(listed, json=json, paths=paths)
    note(_summary(found, listed, opened))
    return 0 if listed else 1


def _require_plain(**given: object) -> None:
    """Raise UsageError for options that --stream has no use for."""
    usual = {"like": "copies", "radius": "auto", "where": None, "column": "code", "paths": False, "force": False}
    if odd := [f"--{name}" for name, value in given.items() if value != usual[name]]:
        raise UsageError(f"--stream keeps no pictures and no codes, so {', '.join(odd)} cannot be had with it")


@contextmanager
def _opened(source: Path, model: str | None) -> Iterator[Collection]:
    """Open a collection; of a folder of pictures one is made meanwhile, by a perceptual hash or the model given."""
    if is_collection(source) or not source.is_dir():
        if model is not None:
            raise UsageError(f"{source} has its own codes; --model is for a folder of pictures, or for --stream")
        yield Collection.open(source)
        return
    from deephash.cli.choosing import check_asked, model_named
    from deephash.ingest import index_folder

    name = model or PHASH
    check_asked(source, name, None, None)
    with TemporaryDirectory(prefix="deephash-") as scratch:
        made = Path(scratch) / "pictures.dh"
        done = index_folder(source, made, model_named(name, pictures=source))
        unread = [each for each in done.skipped if not each.reason.startswith("not a picture")]
        if unread:
            note(f"{len(unread):,} pictures cannot be read; the first: {unread[0].path}: {unread[0].reason}")
        yield Collection.open(made)


def _codes(
    opened: Collection, column: str, where: str | None, like: Like, force: bool
) -> tuple[NDArray[np.int64], BinaryCodes]:
    """Return the codes to compare, or say why those do not tell pictures apart."""
    computed = column == PHASH and PHASH not in opened.code_columns
    method = None if computed or like == "files" or force else supervised_method(opened, column)
    if method is not None:
        raise UsageError(
            f"codes of {method}, a supervised model, are near for pictures of one class, not for copies of one "
            f"picture. Perceptual hashes of the same pictures do it: deephash dedup {opened.path} --column phash. So "
            "does a collection of training-free codes: deephash index PICTURES --out copies.dh --model "
            "itq:timm:resnet18. --force takes these codes all the same"
        )
    ids, codes = opened.codes(opened.the_one_space("compare its items") if computed or column == CODE else column)
    if where is not None:
        chosen = np.isin(ids, opened.matching(where))
        ids, codes = ids[chosen], codes[chosen]
    if not computed or like == "files":
        return ids, codes
    ids, codes, unreadable = perceptual_codes(opened, ids)
    if unreadable:
        note(
            f"{len(unreadable):,} pictures cannot be read and are left out; the first: {next(iter(unreadable.items()))}"
        )
    return ids, codes


def _show(listed: list[Listed], *, json: bool, paths: bool) -> None:
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


def _summary(found: Copies, listed: list[Listed], opened: Collection) -> str:
    extra = sum(len(others) for _, others in listed)
    end = f"{len(listed):,} groups; {extra:,} of {found.items:,} pictures could go; none was deleted"
    if found.radius is None:
        return f"equal files: {end}"
    radius = f"within {found.radius} of {found.num_bits} bits ({found.chosen}): {found.candidates:,} pairs"
    if found.confirmed is None:
        why = "" if opened.root is not None else ", as the pictures are not at hand"
        return f"{radius}, by their codes alone{why}; {end}"
    blind = f"; {len(found.unreadable):,} pictures could not be looked at" if found.unreadable else ""
    many = "" if extra <= MANY * found.items else f". Look at some groups before you delete: {DOUBT}"
    return f"{radius}, {found.confirmed:,} confirmed by their pixels{blind}; {end}{many}"


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
