"""Protocol: what exactly a number means, as one string that travels with it.

Two numbers may stand in one table only where their protocols agree in everything but the method and K. Most
disagreements between published hashing figures are disagreements between the fields below.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

from deephash.errors import UsageError, did_you_mean

SEPARATOR = " | "
_FORBIDDEN = re.compile(r"[|\n\r\t]")
_TOP_K = re.compile(r"@(\d+|all)$")
_RADIUS = re.compile(r"@H<=(\d+)$")


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal before two retrieval figures may be compared.

    Attributes:
        dataset: name and version of the split protocol, e.g. ``cifar10-i/v1``; ``custom`` where nobody named it.
        metric: e.g. ``mAP@all``, ``mAP@1000``, ``P@100``, ``P@H<=2``, ``NDCG@100``, ``kNN@20``.
        relevance: what makes a database item a right answer: ``any-shared-label``, ``pairs`` (belongs
            to the same pair), ``target-label`` (has the label an attack aimed at), ``none`` (a figure of
            neighbours only), ``explicit``.
        ties: how equal distances are treated (``expected`` is exact; see docs/evaluation.md).
        normalize: denominator of average precision: ``hits``, ``min``, ``total`` or ``first-k``.
        empty: what a query without a hit counts: ``zero`` or ``drop``.
        num_bits: K.
        num_queries: queries that entered the mean.
        num_database: items that were ranked.
        split: checksum of the split lists (``sha256:...``), of the labels where no list is known (``labels:...``).
        task: which side asks which, for cross-modal retrieval: ``i2t``, ``t2i``, ``i2i``, ``t2t``.
        text: form of the texts, e.g. ``tags-1386`` or ``sentence``.
        backbone: network the codes come from; ``unknown`` for codes of unknown origin.
        transform: the test-time picture transform, or its fingerprint.
        crops: crops averaged for each picture; HashNet's scripts use 10.
        rerank: ``none`` unless real values reorder the list; then it is no longer a pure Hamming figure.
        gain: gain of graded relevance where a metric uses one.
        unlabelled: what happened to items without a label.
        overlap: ``none``, or ``allowed`` where queries may be found in the database.
        leave_one_out: ``yes`` where queries are database items that search all the others; ``db`` counts them all.
        pictures: remark on the pictures themselves where they are not the original ones, e.g. ``jpeg-q75``.
        folds: parts of the pairs that are searched each by itself; 5 for "COCO 1K".
        series: several models in one figure, e.g. ``lifelong-frozen:3`` or ``compatibility:2``; ``none`` for one.
        attack: what was done to the queries, e.g. ``mainstay,eps=8/255,steps=100,seed=0,png``; ``none`` for clean ones.
        levels: L of codes whose levels refine each other (BEBR).
        distance: ``hamming``, or ``symmetric``: the cosine of what codes of several levels stand for.
        legacy: name of the public script whose conventions are imitated, or ``none``.

    Raises:
        UsageError: a value is empty or holds ``|``, a tab or a line break.
    """

    dataset: str = "custom"
    metric: str = "mAP@all"
    relevance: str = "any-shared-label"
    ties: str = "expected"
    normalize: str = "hits"
    empty: str = "zero"
    num_bits: int = 0
    num_queries: int = 0
    num_database: int = 0
    split: str = "unknown"
    task: str = "same-side"
    text: str = "none"
    backbone: str = "unknown"
    transform: str = "unknown"
    crops: int = 1
    rerank: str = "none"
    gain: str = "none"
    unlabelled: str = "excluded"
    overlap: str = "none"
    leave_one_out: str = "no"
    pictures: str = "original"
    folds: int = 1
    series: str = "none"
    attack: str = "none"
    levels: int = 1
    distance: str = "hamming"
    legacy: str = "none"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (not value.strip() or value != value.strip() or _FORBIDDEN.search(value)):
                raise UsageError(f"protocol field {field.name} is {value!r}: no empty text, '|', tab, line break")
            if isinstance(value, int) and value < 0:
                raise UsageError(f"protocol field {field.name} counts something and cannot be {value}")

    def __str__(self) -> str:
        parts = [self.dataset, self.metric]
        parts += [f"{key}={getattr(self, name)}" for name, key in _ALWAYS.items()]
        parts += [f"q={self.num_queries} db={self.num_database}", f"split={self.split}"]
        parts += [f"{name}={getattr(self, name)}" for name in _WHEN_SET if getattr(self, name) != _DEFAULTS[name]]
        return SEPARATOR.join(parts)

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Read a protocol string back; ``str(Protocol.parse(s))`` is the canonical form of ``s``.

        Raises:
            UsageError: a field is unknown, given twice, or not of the form ``key=value``.
        """
        dataset, *rest = text.strip().split(SEPARATOR)
        if not rest:
            raise UsageError(f"{text!r} is no protocol string; one looks like {str(cls())!r}")
        values: dict[str, Any] = {"dataset": dataset, "metric": rest.pop(0)}
        for part in rest:
            pairs = part.split() if part.startswith("q=") else [part]
            for pair in pairs:
                name, value = _read_pair(pair, text)
                if name in values:
                    raise UsageError(f"protocol field {name} is given twice in {text!r}")
                values[name] = value
        return cls(**values)

    def differences(self, other: Protocol, *, ignoring: Collection[str] = ("num_bits",)) -> dict[str, tuple[Any, Any]]:
        """Return ``{field: (mine, theirs)}`` for every field that differs, except those in ``ignoring``."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in _DEFAULTS if name not in ignoring}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def for_metric(self, metric: str, **changes: Any) -> Protocol:
        """Return this protocol for another metric of the same evaluation."""
        return replace(self, metric=metric, **changes)

    def short(self) -> str:
        """Return ``dataset  q 1,000  db 59,000`` for headings."""
        return f"{self.dataset}   q {self.num_queries:,}   db {self.num_database:,}"

    @property
    def top_k(self) -> int | None:
        """Cut-off in the metric's name, None for ``@all`` and for radius metrics."""
        found = _TOP_K.search(self.metric)
        return int(found[1]) if found and found[1] != "all" else None

    @property
    def radius(self) -> int | None:
        """Hamming radius in the metric's name (inclusive), None where there is none."""
        found = _RADIUS.search(self.metric)
        return int(found[1]) if found else None


_ALWAYS = {"relevance": "rel", "ties": "ties", "normalize": "norm", "empty": "empty", "num_bits": "K"}
_WHEN_SET = (
    "task", "text", "backbone", "transform", "crops", "rerank", "gain", "unlabelled", "overlap",
    "leave_one_out", "pictures", "folds", "series", "attack", "levels", "distance",
    "legacy",
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Protocol)}
_KEYS = {
    **{key: name for name, key in _ALWAYS.items()},
    "q": "num_queries",
    "db": "num_database",
    "split": "split",
    **{name: name for name in _WHEN_SET},
}


def _read_pair(pair: str, text: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or key not in _KEYS:
        raise UsageError(f"{pair!r} is no protocol field in {text!r}{did_you_mean(key, list(_KEYS))}")
    name = _KEYS[key]
    if not isinstance(_DEFAULTS[name], int):
        return name, value
    if not value.isdecimal():
        raise UsageError(f"protocol field {key} is a whole number, not {value!r}, in {text!r}")
    return name, int(value)
