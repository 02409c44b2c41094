"""``deephash collection calibrate``: what a distance means, from the collection's own labelled rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deephash.cli.output import note, print_json
from deephash.collection import Collection
from deephash.collection.label_words import parse_labels
from deephash.collection.model_versions import ModelVersion
from deephash.collection.pair_counts import PairCounts, load_pair_counts, save_pair_counts
from deephash.errors import CollectionDamaged, DataError, UsageError
from deephash.evaluation.counts import count_blocks
from deephash.evaluation.relevance import relevance_among_others

SAMPLE = 1_000


def calibrate(collection: Path, /, *, label: str = "label", sample: int = SAMPLE, json: bool = False) -> int:
    """Measure how probably a hit at each distance is right, for collections whose rows have labels.

    A sample of the rows searches all the others (leave one out); rows of one label are right answers to each other.
    Searches by picture then say how likely each answer is. Measure again where rows or labels have changed much.

    $ deephash collection calibrate pictures.dh
    $ deephash collection calibrate pictures.dh --label species --sample 3000

    Args:
        collection: the folder.
        label: attribute that says which rows belong together.
        sample: how many rows ask.
        json: print one JSON object.
    """
    if sample < 1:
        raise UsageError(f"--sample is at least 1, not {sample}")
    opened = Collection.open(collection)
    space = opened.current
    table = _own_pairs(opened, space, label, sample)
    if before := _source_of(opened, space):
        note(f"this replaces what was measured on {before}")
    save_pair_counts(opened.path, [table], column=space.column, fingerprint=space.fingerprint)
    right, wrong = (float(each @ np.arange(len(each)) / each.sum()) for each in (table.relevant, table.irrelevant))
    if json:
        print_json({"queries": table.queries, "relevant_mean": right, "irrelevant_mean": wrong} | table.to_record())
    else:
        print(
            f"{collection}: {table.queries:,} rows searched the others; rows of one {label} lie {right:.1f} bits apart "
            f"on average, others {wrong:.1f}"
        )
    note(f"next: deephash search {collection} PICTURE")
    return 0


def _source_of(opened: Collection, space: ModelVersion) -> str:
    """Return on what the collection's own table was measured; empty where there is none that can be read."""
    try:
        tables = load_pair_counts(opened.path, column=space.column, fingerprint=space.fingerprint)
    except CollectionDamaged:
        return ""
    return tables[0].source if tables else ""


def _own_pairs(opened: Collection, space: ModelVersion, label: str, sample: int) -> PairCounts:
    if label not in opened.attribute_kinds:
        known = ", ".join(name for name in opened.attribute_kinds if name != "uri")
        raise UsageError(f"{opened.path} has no attribute {label!r}; it has: {known}")
    ids, codes = opened.codes(space.column)
    table = opened.table([label])
    words = table.column(label).to_pylist()
    place = np.searchsorted(table.column("id").to_numpy(), ids)
    named = np.array([words[row] is not None and words[row] != "" for row in place.tolist()], bool)
    rows = np.flatnonzero(named)
    labels, _ = parse_labels([str(words[row]) for row in place[rows].tolist()])
    asking = np.sort(np.random.default_rng(0).permutation(len(rows))[:sample])
    relevance = relevance_among_others(labels[asking], labels, asking)
    codes = codes[rows]
    found = [part for _, part in count_blocks(codes[asking], codes, relevance)] if len(rows) else []
    pairs = PairCounts.of(found, source=f"its own rows, by {label}") if found else None
    if pairs is None:
        raise DataError(
            f"{len(rows):,} of {len(ids):,} rows of {opened.path} have a {label}, which gives too few pairs of one "
            f"{label} or of different ones to measure anything; set labels with: deephash collection update "
            f"{opened.path} --attributes labels.csv"
        )
    return pairs
