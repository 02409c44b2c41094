"""``deephash data ...``: which splits are known, is a split sound, make one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from deephash.cli.data_stream import stream
from deephash.cli.output import note, print_json, table
from deephash.data.check import Problem, check_manifest, corrected, describe_split
from deephash.data.facts import SplitFacts, facts_of, known_splits, require_facts
from deephash.data.items.checking import check_items
from deephash.data.items.item_list import ItemList
from deephash.data.items.reading import is_item_list, read_items
from deephash.data.label_lists import read_label_list
from deephash.data.manifests import (
    SplitManifest,
    cifar10_labels,
    manifest_of_items,
    manifest_of_rule,
    read_hashnet_lists,
    read_head,
    read_manifest,
    shipped_manifest,
    shipped_manifests,
    write_manifest,
)
from deephash.data.near_duplicates import Twin, find_twins, is_cifar10, pictures_below, problem_of, with_blanks
from deephash.data.protocols import find_rule, split_rules
from deephash.errors import UsageError
from deephash.evaluation.arrays import as_labels
from deephash.evaluation.codefile import number_labels, read_columns

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHOWN = 5  # names printed of each problem; --json has them all


def list_splits(*, json: bool = False) -> None:
    """List the splits that deephash ships, can draw, or knows the counts of.

    $ deephash data list
    $ deephash data list --json

    Args:
        json: print one JSON object a line.
    """
    rows = [_summary(name) for name in sorted({*known_splits(), *split_rules(), *shipped_manifests()})]
    if json:
        for row in rows:
            print_json(row)
        return
    columns = ("split", "available", "query", "train", "database", "cut_off")
    print(table([[_shown(row[name]) for name in columns] for row in rows], columns))
    note("shipped: deephash data stats NAME   drawn: deephash data split --protocol NAME   counts: bring your lists")


def info(name: str, /, *, json: bool = False) -> None:
    """Say what is known about one split: counts, who uses it, and its traps.

    $ deephash data info coco-hashnet

    Args:
        name: one of ``deephash data list``.
        json: print one JSON object.
    """
    if name not in {*split_rules(), *shipped_manifests()}:
        require_facts(name)
    row = _summary(name)
    facts, rule = facts_of(name), split_rules().get(name)
    row["remark"] = facts.remark if facts else ""
    row |= {"rule": rule.summary, "needs": rule.needs} if rule else {}
    if name in shipped_manifests():
        row["checksum"] = shipped_manifest(name).checksum
    if json:
        print_json(row)
        return
    for key, value in row.items():
        if value != "":
            print(f"{key:18} {_shown(value)}")


def check(
    manifest: str | None = None,
    /,
    *,
    query: Path | None = None,
    train: Path | None = None,
    database: Path | None = None,
    protocol: str | None = None,
    root: Path | None = None,
    near_duplicates: float | None = None,
    allow_overlap: bool = False,
    fix: Path | None = None,
    json: bool = False,
) -> int:
    """Check a split; ends with 1 and names the items when it is not sound.

    $ deephash data check my_split.tsv --root pictures
    $ deephash data check coco/annotations/instances_val2017.json
    $ deephash data check --query test.txt --train train.txt --database database.txt --protocol coco-hashnet
    $ deephash data check caltech101
    $ deephash data check cifar10-ii.tsv --root cifar10_jpeg.npz --near-duplicates 0.9 --fix cifar10-ii-dedup.tsv

    Looks for queries that are searched or learned from, items listed twice, items without a label or with two
    labellings, and counts other than the published ones; with --root also for missing files and for equal files under
    different names.

    Args:
        manifest: a manifest file, the name of a shipped manifest, or what Manifest trains on: a table (.csv, .tsv,
            .parquet), COCO's JSON, a folder of Hugging Face datasets, WebDataset tars.
        query: list in HashNet's format: a path and 0/1 numbers, one a class, on each line.
        train: the same for the training items.
        database: the same for the searched items.
        protocol: hold the counts against this published split; by default the one the manifest names.
        root: folder the names are relative to; for CIFAR-10 also its compact .npz.
        near_duplicates: also report queries of which another list has a nearly equal picture: least correlation of
            their fine structure, 0.9 is cautious. Needs --root; --fix then takes these queries out.
        allow_overlap: accept queries that are searched or learned from.
        fix: write a corrected manifest to this file.
        json: print one JSON object for each problem.
    """
    items = listed_items(manifest, root)
    lists = {"query": query, "train": train, "database": database}
    split = manifest_of_items(items) if items is not None else _load(manifest, lists, protocol)
    facts = require_facts(protocol) if protocol else facts_of(split.protocol)
    problems = _problems(split, items, facts, root, allow_overlap)
    missing = {name for problem in problems if problem.kind == "missing-file" for name in problem.items}
    twins = [] if near_duplicates is None else _twins(split, root, near_duplicates, missing)
    problems += problem_of(twins, len(set(split.names_of("query"))))
    for problem in problems:
        _print_problem(problem, json)
    for remark in split.remarks if items is not None else ():
        note(remark)
    if fix is not None:
        write_manifest(corrected(split, facts=facts, without={twin.query for twin in twins}), fix)
        note(f"wrote {fix}; check it: deephash data check {fix}")
    if not problems:
        sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in split.splits.items())
        note(f"{split.protocol}: sound ({sizes}; {split.checksum[:19]})")
    elif fix is None:
        note("Fix: the same command with --fix corrected.tsv; accept overlap: --allow-overlap")
    return 1 if problems else 0


def split(
    *,
    protocol: str,
    out: Path | None = None,
    seed: int = 0,
    labels: Path | None = None,
    train_images: int | None = None,
) -> None:
    """Draw the lists of a named rule and write them as a manifest.

    $ deephash data split --protocol cifar10-i --seed 0 --out cifar10-i.tsv
    $ deephash data split --protocol fifth --labels my.npz --out my.tsv
    $ deephash data split --protocol nuswide-21 --labels nuswide.csv --out nuswide-21-drawn.tsv

    CIFAR-10's class numbers come with deephash; for another set give --labels. A rule whose name ends in -drawn has the
    counts of a published split; the list is our own draw, not the published one, and its protocol says -drawn.

    Args:
        protocol: a rule of ``deephash data list``.
        out: file to write; stdout when left out.
        seed: of the draw.
        labels: .npz with an array ``labels`` (and ``names``, ``n_train``, ``class_names`` where there are any); or .csv
            or .tsv with columns ``name`` and ``labels`` (several joined by |); or HashNet's lines, a path and 0/1.
        train_images: number of official training pictures at the front of the labels.
    """
    rule = find_rule(protocol)
    if labels is None:
        if not rule.name.startswith("cifar10"):
            raise UsageError(f"{rule.name} needs the class numbers of your data: --labels FILE (.npz, .csv, .tsv)")
        manifest = manifest_of_rule(
            protocol, cifar10_labels(), n_train_images=50_000, seed=seed, class_names=CIFAR10_CLASSES
        )
    else:
        manifest = _drawn_from_file(protocol, labels, train_images, seed)
    if out is None:
        print(manifest.to_text(), end="")
    else:
        write_manifest(manifest, out)
        note(f"wrote {out}: {manifest.protocol} seed {seed}, {manifest.checksum}")
    for remark in manifest.remarks:
        note(remark)


def stats(manifest: str, /, *, json: bool = False) -> None:
    """Count items, classes and labels of each split of a manifest.

    $ deephash data stats caltech101
    $ deephash data stats my_split.tsv --json

    Args:
        manifest: a manifest file, or the name of a shipped one.
        json: print one JSON object for each split.
    """
    rows = describe_split(_load(manifest, {}, None))
    if json:
        for row in rows:
            print_json(row)
    elif rows:
        print(table([[_two_digits(value) for value in row.values()] for row in rows], list(rows[0])))


COMMANDS = {"list": list_splits, "info": info, "check": check, "split": split, "stats": stats, "stream": stream}


# Parts -------------------------------------------------------------------------------------------------


def listed_items(name: str | None, root: Path | None) -> ItemList | None:
    """Return the items of a list that :class:`~deephash.data.Manifest` reads; None for a split manifest or a name."""
    if name is None or name in shipped_manifests() or not is_item_list(path := Path(name)):
        return None
    if path.suffix.lower() == ".tsv" and path.is_file() and read_head(path).startswith("#"):
        return None
    items = read_items(path, root if root is None or not is_cifar10(root) else None)
    for remark in items.notes:
        note(remark)
    if items.pictures and len(items.missing_files()) == len(items):
        note(f"none of its pictures lies where {name} says, so files are not looked at; say where they are: --root")
    return items


def _problems(
    split: SplitManifest, items: ItemList | None, facts: SplitFacts | None, root: Path | None, allow_overlap: bool
) -> list[Problem]:
    places: dict[str, Path] = {}
    files = None if root is None or is_cifar10(root) else root
    if items is not None:
        at = items.pictures or [None] * len(items)
        places = {name: path for name, path in zip(items.names, at, strict=True) if isinstance(path, Path)}
        files = files if places else None  # pictures in shards are no files
    problems = check_manifest(split, facts=facts, root=files, allow_overlap=allow_overlap, places=places)
    found = {problem.kind for problem in problems}
    return problems + [each for each in (check_items(items) if items is not None else ()) if each.kind not in found]


def _load(manifest: str | None, lists: dict[str, Path | None], protocol: str | None) -> SplitManifest:
    given = {name: path for name, path in lists.items() if path is not None}
    if bool(manifest) == bool(given):
        raise UsageError("give a manifest, or lists with --query, --train and --database, not both and not neither")
    if manifest is None:
        return read_hashnet_lists(given, protocol=protocol or "custom")
    if manifest in shipped_manifests():
        return shipped_manifest(manifest)
    if Path(manifest).is_dir() and not is_item_list(Path(manifest)):
        raise UsageError(
            f"{manifest} is a folder of files; a split is a manifest (.tsv), a table (.csv, .parquet) or a name of "
            f"`deephash data list`. Its pictures are checked with: deephash data check SPLIT --root {manifest}"
        )
    items = listed_items(manifest, None)
    return manifest_of_items(items) if items is not None else read_manifest(manifest)


def _twins(manifest: SplitManifest, root: Path | None, least: float, missing: Collection[str]) -> list[Twin]:
    if root is None:
        raise UsageError("--near-duplicates looks at pictures: give their folder with --root")
    unreadable: list[str] = []
    picture_of = with_blanks(pictures_below(root), unreadable)
    twins = find_twins(manifest, picture_of, least=least, without=missing)
    if unreadable:
        note(f"{len(unreadable):,} pictures could not be looked at and have no near-duplicates: {unreadable[0]}")
    return twins


def _drawn_from_file(protocol: str, path: Path, train_images: int | None, seed: int) -> SplitManifest:
    if path.suffix.lower() != ".npz":
        items = read_label_list(path)
        return manifest_of_rule(
            protocol,
            items.label_array(),
            n_train_images=train_images,
            seed=seed,
            names=items.names,
            class_names=items.class_names,
        )
    columns = read_columns(path)
    if "labels" not in columns:
        raise UsageError(f"{path} has no array 'labels'; it holds: {', '.join(sorted(columns)) or 'nothing'}")
    (numbers,), words = number_labels([(str(path), as_labels(columns["labels"], source=str(path)))])
    first = int(columns["n_train"]) if train_images is None and "n_train" in columns else train_images
    names = columns.get("names")
    return manifest_of_rule(
        protocol,
        numbers,
        n_train_images=first,
        seed=seed,
        names=None if names is None else tuple(names.astype(str).tolist()),
        class_names=words or tuple(np.atleast_1d(columns.get("class_names", np.array([], str))).astype(str).tolist()),
    )


def _summary(name: str) -> dict[str, object]:
    facts: SplitFacts | None = facts_of(name)
    ways = {"shipped": name in shipped_manifests(), "drawn": name in split_rules(), "counts": facts is not None}
    row: dict[str, object] = {"split": name, "available": next((way for way, is_there in ways.items() if is_there), "")}
    for column in ("query", "train", "database", "train_in_database", "leave_one_out", "cut_off", "classes", "source"):
        row[column] = getattr(facts, column, None)
    return row


def _print_problem(problem: Problem, json: bool) -> None:
    if json:
        print_json({"kind": problem.kind, "message": problem.message, "items": list(problem.items)})
        return
    print(f"{problem.kind}: {problem.message}")
    for item in problem.items[:SHOWN]:
        print(f"  {item}")
    if len(problem.items) > SHOWN:
        print(f"  ... and {len(problem.items) - SHOWN:,} more (--json lists all)")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _two_digits(value: object) -> object:
    return f"{value:.2f}" if isinstance(value, float) else value
