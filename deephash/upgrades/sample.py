"""The rows that a gate looks at: queries and items of a collection, with the codes that they have and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.label_words import parse_labels
from deephash.collection.seen import SeenItems
from deephash.data.protocols import split_checksum
from deephash.encoding import CodeEncoder, open_encoder
from deephash.errors import UsageError
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.relevance import Relevance, relevance_from_labels
from deephash.upgrades.pictures import encoded

QUERY_SHARE, MOST_QUERIES = 0.2, 500
LEAST_ROWS = 50
NEAREST = 10  # by vectors, which are then the right answers


class TooFewRows(UsageError):
    """Not enough rows of a collection can be looked at."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a collection, a fifth of which ask for the others.

    Attributes:
        old_queries: the codes that the current model gives to those who ask; n.
        old_items: the codes that the others have; m.
        new_queries: those of the new model, n.
        new_items: m.
        relevance: which items are right answers; None where nothing says so.
        relevance_in_words: that, for people.
        held_out: neither model was trained on these rows.
        by_vectors: the right answers are the nearest by vectors, not those of a label.
        checksum: of who asks and who is searched.
        seed: of the draw.
    """

    old_queries: BinaryCodes
    old_items: BinaryCodes
    new_queries: BinaryCodes
    new_items: BinaryCodes
    relevance: Relevance | None
    relevance_in_words: str
    held_out: bool
    by_vectors: bool
    checksum: str
    seed: int


def draw_sample(
    collection: Collection,
    new: CodeEncoder,
    new_folder: Path | None,
    *,
    label: str = "label",
    most: int = 2000,
    seed: int = 0,
    judge_by_vectors: bool = False,
) -> Sample:
    """Draw rows that neither model was trained on, and encode them with the new one.

    Args:
        collection: at its current version; rows of models that its current one cannot be compared with are left out.
        new: what is to be the next model.
        new_folder: where that lies, and says what it was trained on.
        label: attribute that says which items belong together; those without are left out where any has one.
        most: rows.
        seed: of the draw.
        judge_by_vectors: without labels, the nearest by the new model's vectors are the right answers: both models
            stand on one network, and their codes are to say what it says.

    Raises:
        TooFewRows: fewer than 50 rows whose pictures can be read.
        UsageError: an unknown attribute.
    """
    ids, codes = collection.codes()
    facts = _facts(collection, ids, label)
    able, held_out = _able(collection, facts, new_folder)
    labelled = np.array([bool(word) for word in facts[label]], bool) & able
    by_label = len({word for word, is_there in zip(facts[label], labelled) if is_there}) > 1
    rows = np.flatnonzero(labelled if by_label else able)
    rows = np.random.RandomState(seed).permutation(rows)[:most]  # its stream is frozen for good
    made = encoded(collection, ids[rows], new, "measuring", with_vectors=judge_by_vectors and not by_label)
    rows = rows[made.places]
    _require_enough(collection, len(rows), len(ids), f"a {label} and " if by_label else "")
    count = min(MOST_QUERIES, int(QUERY_SHARE * len(rows)))
    asks, items = slice(0, count), slice(count, None)
    relevance, words = _relevance(facts[label], rows, made.vectors, count, by_label, label)
    return Sample(
        old_queries=_asked_today(collection, ids[rows[asks]], codes[rows[asks]]),
        old_items=codes[rows[items]],
        new_queries=made.codes[asks],
        new_items=made.codes[items],
        relevance=relevance,
        relevance_in_words=words,
        held_out=held_out,
        by_vectors=made.vectors is not None,
        checksum=split_checksum({"query": ids[rows[asks]], "database": ids[rows[items]]})[: len("sha256:") + 12],
        seed=seed,
    )


def _require_enough(collection: Collection, usable: int, of: int, also: str) -> None:
    if usable < LEAST_ROWS:
        foreign = len(collection) - of
        raise TooFewRows(
            f"an upgrade is measured on at least {LEAST_ROWS} rows; {usable} of {of:,} have {also}a picture that can "
            "be read and is what was indexed. "
            + (
                f"{foreign:,} more have codes of an older model: bring them to the current one first, "
                if foreign
                else ""
            )
            + (f"deephash upgrade {collection.path} --re-encode now; or " if foreign else "")
            + "--force publishes without measuring"
        )


def _asked_today(collection: Collection, ids: NDArray[np.int64], stored: BinaryCodes) -> BinaryCodes:
    """Return codes by the current model: that encodes today's queries, whichever older one made the stored codes."""
    current = collection.current.number
    older = np.array([row for row, item in enumerate(collection.items(ids)) if item.model_version < current], np.int64)
    if not len(older):
        return stored
    made = encoded(collection, ids[older], open_encoder(collection.model_path), "measuring what is there")
    packed = stored.packed.copy()
    packed[older[made.places]] = made.codes.packed
    return BinaryCodes(packed, stored.num_bits, stored.num_levels)


def _facts(collection: Collection, ids: NDArray[np.int64], label: str) -> dict[str, list[Any]]:
    if label not in collection.attribute_kinds:
        raise UsageError(
            f"{collection.path} has no attribute {label!r} to tell which items belong together; choose one with "
            "--label: " + ", ".join(sorted(collection.attribute_kinds))
        )
    table = collection.table(["uri", "content_hash", label])
    table = table.take(np.searchsorted(table.column("id").to_numpy(), ids))
    return {name: table.column(name).to_pylist() for name in ("uri", "content_hash", label)}


def _able(collection: Collection, facts: dict[str, list[Any]], new: Path | None) -> tuple[NDArray[np.bool_], bool]:
    """Return the rows that no model involved was trained on; all of them, and False, where these are too few."""
    able = np.ones(len(facts["uri"]), bool)
    mine = [each.fingerprint for each in collection.model_versions if each.column == collection.current.column]
    for folder in (*map(collection.path_of_model, mine), new):
        seen = None if folder is None else SeenItems.load(folder)
        if seen is not None:
            able &= ~seen.mask(facts["content_hash"], facts["uri"])
    if able.sum() >= LEAST_ROWS:
        return able, True
    return np.ones(len(able), bool), len(able) < LEAST_ROWS  # too few rows are no rows that were seen


def _relevance(
    words: Sequence[Any],
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32] | None,
    count: int,
    by_label: bool,
    label: str,
) -> tuple[Relevance | None, str]:
    if by_label:
        labels, _ = parse_labels([str(words[row]) for row in rows])
        return relevance_from_labels(labels[:count], labels[count:]), f"items of the same {label}"
    if vectors is None:
        return None, "nothing: no labels"
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    nearest = np.argsort(-(units[:count] @ units[count:].T), axis=1, kind="stable")[:, :NEAREST]
    return ListedPairs.from_lists(list(nearest), len(rows) - count), f"the {NEAREST} nearest by the network's vectors"
