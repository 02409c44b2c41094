"""Who is query, train and database: named split rules as pure functions of the labels and a seed. NumPy only.

A rule draws nothing from a global generator: the same name, labels and seed give the same lists on every machine.
Validation queries are always drawn from the training items, never from the queries, so that no epoch, threshold or
learning rate is chosen on the figures that are reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.data.draws import each_label, from_all, official_queries
from deephash.errors import UsageError, did_you_mean

Rows = NDArray[np.int64]
Splits = dict[str, Rows]

VALIDATION_SHARE = 0.1
DRAWN = "-drawn"  # ends the name of a rule that has the counts of a published split and not its list
CHECKED_SPLITS = ("query", "train", "database")


@dataclass(frozen=True)
class SplitRule:
    """A named way to make the lists.

    Attributes:
        name: e.g. ``cifar10-i``.
        version: raised when the lists of one seed would change.
        needs: what must be given, in words.
        build: ``(labels, n_train_images, generator) -> {"query", "train", "database"}``; its docstring says who is who.
    """

    name: str
    version: int
    needs: str
    build: Callable[[NDArray, int | None, np.random.RandomState], Splits]

    @property
    def protocol(self) -> str:
        """Name with version, as it stands in a protocol string."""
        return f"{self.name}/v{self.version}"

    @property
    def summary(self) -> str:
        """What the lists are, in a sentence."""
        return (self.build.__doc__ or "").strip()


def build_split(
    protocol_name: str, labels: ArrayLike, *, n_train_images: int | None = None, seed: int = 0
) -> dict[str, Rows]:
    """Return row numbers of ``query``, ``train``, ``database``, ``validation_query`` and ``validation_database``.

    ``validation_query`` is a tenth of ``train`` (of each class), ``validation_database`` the rest of ``train``: a run
    that watches the validation figures must fit on ``validation_database`` only.

    Args:
        protocol_name: one of :func:`split_rules`, with or without ``/v1``.
        labels: class numbers [N] or multi-hot [N, C], official training pictures first where the rule needs to know.
        n_train_images: number of official training pictures at the front (CIFAR-10: 50,000).
        seed: of the draw; different seeds are different splits and have different checksums.

    Raises:
        UsageError: unknown name, or labels from which the lists cannot be drawn.
    """
    rule = find_rule(protocol_name)
    table = np.asarray(labels)
    if table.ndim not in (1, 2) or not len(table):
        raise UsageError(f"labels are class numbers [N] or multi-hot [N, C], not an array of shape {list(table.shape)}")
    if n_train_images is not None and not 0 < n_train_images < len(table):
        raise UsageError(f"n_train_images must lie between 1 and {len(table) - 1}, not {n_train_images}")
    splits = rule.build(table, n_train_images, _generator(seed))
    held_out = _one_tenth(table, splits["train"], _generator(seed, 1))
    splits["validation_query"] = held_out
    splits["validation_database"] = np.setdiff1d(splits["train"], held_out)
    return {name: np.sort(rows).astype(np.int64) for name, rows in splits.items()}


def instance_split(count: int, seed: int = 0, share: float = 0.2) -> Splits:
    """Draw ``share`` of the items to ask and to be searched, the rest to be learned from.

    For pairs without labels: a text asks for its own picture. Raises UsageError for fewer than three items.
    """
    if count < 3:
        raise UsageError(f"{count} items cannot be divided into those that are learned from and those that ask")
    order = _generator(seed).permutation(count)
    test = max(1, round(share * count))
    asks, train = np.sort(order[:test]), np.sort(order[test:])
    return {"query": asks, "train": train, "database": asks.copy()}


def split_checksum(splits: Mapping[str, ArrayLike]) -> str:
    """Return ``sha256:...`` of who is query, train and database.

    The order inside a list does not matter (no metric of deephash depends on it). Validation lists are not covered:
    they are part of how a model was chosen, not of what is measured. Items may be row numbers or names.
    """
    digest = hashlib.sha256()
    for name in CHECKED_SPLITS:
        if name in splits:
            items = sorted(str(item) for item in np.asarray(splits[name]).tolist())
            digest.update(f"{name}\n{len(items)}\n".encode() + "\n".join(items).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def short_checksum(checksum: str, digits: int = 12) -> str:
    """Return the checksum cut to ``digits`` for a protocol string."""
    kind, _, value = checksum.partition(":")
    return f"{kind}:{value[:digits]}"


def split_rules() -> dict[str, SplitRule]:
    """Return every rule by its name."""
    return dict(_RULES)


def find_rule(protocol_name: str) -> SplitRule:
    """Return a rule by name, with or without its version and ``-drawn``. Raises UsageError with a suggestion."""
    name, _, version = protocol_name.partition("/")
    rule = _RULES.get(name, _RULES.get(f"{name}{DRAWN}"))
    if rule is None:
        raise UsageError(f"no split rule is called {name!r}{did_you_mean(name, list(_RULES))}")
    if version and version != f"v{rule.version}":
        raise UsageError(f"{protocol_name}: this deephash makes {rule.protocol}")
    return rule


# The rules ---------------------------------------------------------------------------------------------


def _cifar10_i(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> Splits:
    """Official parts are pooled; 100 queries and 500 training items a class; everything but the queries is searched."""
    query, train = _per_class(labels, (100, 500), draw)
    return {"query": query, "train": train, "database": np.setdiff1d(np.arange(len(labels)), query)}


def _cifar10_i_disjoint(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> Splits:
    """As cifar10-i, from the same draw, but training items are not searched."""
    splits = _cifar10_i(labels, n_train_images, draw)
    return splits | {"database": np.setdiff1d(splits["database"], splits["train"])}


def _official(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> Splits:
    """Official test pictures ask, official training pictures are learned from and searched."""
    first = _required(n_train_images)
    train = np.arange(first)
    return {"query": np.arange(first, len(labels)), "train": train, "database": train.copy()}


def _unseen_classes(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> Splits:
    """Three quarters of the classes are learned; only the others are asked for and searched (arXiv 1609.06753)."""
    first = _required(n_train_images)
    numbers = _class_numbers(labels)
    classes = np.unique(numbers)
    unseen = draw.permutation(classes)[: len(classes) - (3 * len(classes)) // 4]
    is_unseen = np.isin(numbers, unseen)
    rows = np.arange(len(numbers))
    return {
        "query": rows[is_unseen & (rows >= first)],
        "train": rows[~is_unseen & (rows < first)],
        "database": rows[is_unseen & (rows < first)],
    }


def _every_fifth(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> Splits:
    """A fifth of each class asks; the rest is learned from and searched. For a set that has no official split."""
    query = _share_per_class(labels, np.arange(len(labels)), 0.2, draw)
    rest = np.setdiff1d(np.arange(len(labels)), query)
    return {"query": query, "train": rest, "database": rest.copy()}


_POOLED = "the labels of all 60,000 pictures"
_LIST = "names and labels of all items"
_PARTS = "labels with the official training pictures first, and their number"
_RULES = {
    rule.name: rule
    for rule in (
        SplitRule("cifar10-i", 1, _POOLED, _cifar10_i),
        SplitRule("cifar10-i-disjoint", 1, _POOLED, _cifar10_i_disjoint),
        SplitRule("cifar10-ii", 1, _PARTS, _official),
        SplitRule("cifar10-iii", 1, _PARTS, _unseen_classes),
        SplitRule("official", 1, _PARTS, _official),
        SplitRule("unseen-classes", 1, _PARTS, _unseen_classes),
        SplitRule("fifth", 1, "labels", _every_fifth),
        SplitRule(f"imagenet100{DRAWN}", 1, _PARTS, official_queries(130)),
        SplitRule(f"nuswide-21{DRAWN}", 1, _LIST, each_label(100, 500)),
        SplitRule(f"nuswide-21m{DRAWN}", 1, _LIST, each_label(100, 500)),
        SplitRule(f"nuswide-81{DRAWN}", 1, _LIST, from_all(5_000, 10_000, train_is_searched=True)),
        SplitRule(
            f"nuswide-tc10{DRAWN}",
            1,
            _LIST,
            from_all(2_000, 5_000, train_is_searched=True, remark=" (papers learn from 5,000 to 10,500)"),
        ),
        SplitRule(f"coco-hashnet{DRAWN}", 1, _LIST, from_all(5_000, 10_000, train_is_searched=False)),
        SplitRule(f"mirflickr-dcmh{DRAWN}", 1, _LIST, from_all(2_000, 10_000, train_is_searched=True)),
        SplitRule(f"mirflickr-clip{DRAWN}", 1, _LIST, from_all(5_000, 10_000, train_is_searched=True)),
        SplitRule(f"iapr-tc12{DRAWN}", 1, _LIST, from_all(2_000, 10_000, train_is_searched=True)),
        SplitRule(f"voc2012{DRAWN}", 1, _LIST, from_all(1_000, 4_000, train_is_searched=False)),
    )
}


def _generator(*seeds: int) -> np.random.RandomState:
    """RandomState, because its stream is frozen for good; a Generator's may change from one NumPy to the next."""
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise UsageError(f"a seed is a number from 0 to {2**32 - 1}, not {seeds[0]}")
    return np.random.RandomState(seeds)


def _required(n_train_images: int | None) -> int:
    if n_train_images is None:
        raise UsageError("this split rule needs n_train_images, the number of official training pictures at the front")
    return n_train_images


def _class_numbers(labels: NDArray) -> NDArray:
    if labels.ndim == 1:
        return labels
    raise UsageError("this split rule draws by class and needs class numbers [N], not multi-hot labels [N, C]")


def _per_class(labels: NDArray, counts: tuple[int, ...], draw: np.random.RandomState) -> list[Rows]:
    """Draw disjoint lists of ``counts`` items of every class; unlabelled items (-1) are never drawn."""
    numbers = _class_numbers(labels)
    lists: list[list[Rows]] = [[] for _ in counts]
    for number in np.unique(numbers[numbers >= 0]):
        members = draw.permutation(np.flatnonzero(numbers == number))
        if len(members) < sum(counts):
            raise UsageError(f"class {number} has {len(members)} items; this rule draws {sum(counts)} of each class")
        start = 0
        for chosen, count in zip(lists, counts, strict=True):
            chosen.append(members[start : start + count])
            start += count
    return [np.concatenate(chosen) for chosen in lists]


def _one_tenth(labels: NDArray, train: Rows, draw: np.random.RandomState) -> Rows:
    return _share_per_class(labels, train, VALIDATION_SHARE, draw)


def _share_per_class(labels: NDArray, rows: Rows, share: float, draw: np.random.RandomState) -> Rows:
    """Draw ``share`` of ``rows``, of each class separately where there are class numbers; at least one, never all."""
    if labels.ndim == 2:
        groups = [rows]
    else:
        groups = [rows[labels[rows] == number] for number in np.unique(labels[rows]) if number >= 0]
    drawn = [draw.permutation(group)[: max(1, round(share * len(group)))] for group in groups if len(group) > 1]
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)
