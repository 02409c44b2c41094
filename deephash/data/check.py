"""Is a split sound? Queries nobody has seen before, every item once, everything labelled, counts as published."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deephash.data.facts import SplitFacts
from deephash.data.manifests import SplitManifest
from deephash.progress import track

SEARCHED = ("database", "train")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a split.

    Attributes:
        kind: ``query-in-database``, ``query-in-train``, ``duplicate``, ``same-picture``, ``unlabelled``,
            ``two-labellings``, ``wrong-count``, ``empty-split``, ``missing-file``, ``near-duplicate``; of lists of
            items also ``empty-caption`` and ``no-split``.
        message: what, how many, and what it does to the figures.
        items: the names concerned.
    """

    kind: str
    message: str
    items: tuple[str, ...] = ()


def check_manifest(
    manifest: SplitManifest,
    *,
    facts: SplitFacts | None = None,
    root: Path | None = None,
    allow_overlap: bool = False,
    places: Mapping[str, Path] | None = None,
) -> list[Problem]:
    """Return every problem of a split; an empty list means that it is sound.

    Args:
        manifest: the split.
        facts: counts to hold it against.
        root: folder of the files; with it, missing files and equal contents under different names are found.
        allow_overlap: accept queries that are searched or learned from.
        places: where the file of a name lies, where that is not below ``root``.
    """
    problems = [*_empty_splits(manifest), *_duplicates(manifest), *_labels(manifest)]
    is_itself = facts is not None and facts.leave_one_out
    may_overlap = allow_overlap or manifest.pairs or is_itself
    if not (allow_overlap or manifest.pairs):
        problems += _strangers(manifest) if is_itself else _overlap(manifest)
    if facts is not None:
        problems += _counts(manifest, facts)
    if root is not None:
        problems += _files(manifest, root, may_overlap, places or {})
    return problems


def corrected(
    manifest: SplitManifest, *, facts: SplitFacts | None = None, without: Collection[str] = ()
) -> SplitManifest:
    """Return the split without what check complains of: later duplicates, unlabelled items, queries that are searched.

    A query that is also learned from or searched stays a query and leaves the other lists (but not the database of a
    leave-one-out protocol). Queries in ``without`` (near-duplicates) are taken out too.
    """
    elsewhere = ("train",) if facts is not None and facts.leave_one_out else SEARCHED
    seen: set[tuple[str, str]] = set()
    query = set(manifest.names_of("query"))
    splits = {}
    for split, rows in manifest.splits.items():
        kept = []
        for row in rows:
            name = manifest.names[row]
            is_taken = split in elsewhere and name in query and not manifest.pairs
            is_taken |= split == "query" and name in without
            if manifest.labels[row] and not is_taken and (split, name) not in seen:
                kept.append(int(row))
                seen.add((split, name))
        splits[split] = np.array(kept, dtype=np.int64)
    remark = "corrected by deephash: no duplicates, no unlabelled items, no query searched or learned from"
    if without:
        remark += f"; {len(without)} queries with a near-duplicate elsewhere are left out"
    return replace(manifest, splits=splits, remarks=(*manifest.remarks, remark))


def describe_split(manifest: SplitManifest) -> list[dict[str, object]]:
    """Return a row of figures for each split: items, distinct names, classes, items a class, labels an item."""
    rows: list[dict[str, object]] = []
    for split, members in manifest.splits.items():
        counts = Counter(number for row in members for number in manifest.labels[row])
        rows.append(
            {
                "split": split,
                "items": len(members),
                "distinct": len({manifest.names[row] for row in members}),
                "unlabelled": sum(not manifest.labels[row] for row in members),
                "classes": len(counts),
                "smallest_class": min(counts.values(), default=0),
                "largest_class": max(counts.values(), default=0),
                "labels_an_item": counts.total() / len(members) if len(members) else 0.0,
            }
        )
    return rows


# The checks --------------------------------------------------------------------------------------------


def _empty_splits(manifest: SplitManifest) -> Iterator[Problem]:
    for split in ("query", "database"):
        if not len(manifest.splits.get(split, ())):
            yield Problem("empty-split", f"there is no {split} item, so nothing can be evaluated")


def _overlap(manifest: SplitManifest) -> Iterator[Problem]:
    query = set(manifest.names_of("query"))
    for split in SEARCHED:
        shared = sorted(query & set(manifest.names_of(split)))
        if shared:
            effect = "mAP would be inflated" if split == "database" else "the model would have seen its questions"
            message = f"{len(shared):,} of {len(query):,} queries are also in {split}; {effect}"
            yield Problem(f"query-in-{split}", message, tuple(shared))


def _strangers(manifest: SplitManifest) -> Iterator[Problem]:
    """Leave-one-out: queries search each other and nobody else, and are not learned from."""
    query, database = set(manifest.names_of("query")), set(manifest.names_of("database"))
    if query != database:
        odd = tuple(sorted(query ^ database))
        message = f"queries of this split search each other, but {len(odd):,} items are query or database only"
        yield Problem("wrong-count", message, odd)
    yield from (problem for problem in _overlap(manifest) if problem.kind == "query-in-train")


def _duplicates(manifest: SplitManifest) -> Iterator[Problem]:
    for split in manifest.splits:
        names = manifest.names_of(split)
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            message = f"{split} has {len(names):,} lines but {len(set(names)):,} distinct items"
            yield Problem("duplicate", message, tuple(repeated))


def _labels(manifest: SplitManifest) -> Iterator[Problem]:
    if manifest.pairs and not any(manifest.labels):
        return  # each text asks for its own picture; nobody needs a label
    for split, rows in manifest.splits.items():
        bare = sorted({manifest.names[row] for row in rows if not manifest.labels[row]})
        if bare:
            yield Problem("unlabelled", f"{len(bare):,} items of {split} have no label", tuple(bare))
    first: dict[str, tuple[int, ...]] = {}
    entries = zip(manifest.names, manifest.labels, strict=True)
    differing = {name for name, numbers in entries if first.setdefault(name, numbers) != numbers}
    if differing:
        message = f"{len(differing):,} items stand there with two different labellings"
        yield Problem("two-labellings", message, tuple(sorted(differing)))


def _counts(manifest: SplitManifest, facts: SplitFacts) -> Iterator[Problem]:
    for split, expected in (("query", facts.query), ("train", facts.train), ("database", facts.database)):
        found = len(manifest.splits.get(split, ()))
        if expected is not None and found != expected:
            message = f"{split} has {found:,} items; {facts.name} has {expected:,} ({facts.source}; {facts.remark})"
            yield Problem("wrong-count", message)
    if facts.classes is not None and manifest.num_classes != facts.classes:
        yield Problem("wrong-count", f"{manifest.num_classes} classes; {facts.name} has {facts.classes}")
    shared = set(manifest.names_of("train")) & set(manifest.names_of("database"))
    if bool(shared) != facts.train_in_database and len(manifest.splits.get("train", ())):
        usual = "are" if facts.train_in_database else "are not"
        yield Problem("wrong-count", f"in {facts.name} training items {usual} searched; here it is the other way round")


def _files(manifest: SplitManifest, root: Path, may_overlap: bool, places: Mapping[str, Path]) -> Iterator[Problem]:
    names = sorted({manifest.names[row] for rows in manifest.splits.values() for row in rows})
    file_of = {name: places.get(name, root / name) for name in names}
    missing = tuple(name for name in names if not file_of[name].is_file())
    if missing:
        yield Problem("missing-file", f"{len(missing):,} of {len(names):,} files are not below {root}", missing)
    by_content: dict[str, list[str]] = {}
    gone = set(missing)
    for name in track([name for name in names if name not in gone], "reading", unit="file"):
        by_content.setdefault(_digest(file_of[name]), []).append(name)
    twins = [group for group in by_content.values() if len(group) > 1]
    if twins:
        yield Problem("same-picture", _twins_message(manifest, twins, may_overlap), tuple(_first_lines(twins)))


def _twins_message(manifest: SplitManifest, twins: list[list[str]], may_overlap: bool) -> str:
    query = set(manifest.names_of("query"))
    elsewhere = {name for split in SEARCHED for name in manifest.names_of(split)}
    across = sum(1 for group in twins if query & set(group) and elsewhere & set(group))
    text = f"{len(twins):,} groups of files with the same content under different names"
    return text if may_overlap or not across else f"{text}; {across:,} hold a query and an item of another list"


def _first_lines(twins: Iterable[list[str]]) -> Iterator[str]:
    return (" = ".join(group) for group in twins)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
