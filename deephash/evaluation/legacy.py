"""What the common public repositories would print for the same codes.

Each rule was read in the named repository's evaluation code: which sort call orders the database, over which numbers,
which denominator AP has, and what happens to queries that find nothing. The order of tied items comes from the very
same call of NumPy or PyTorch, so the value depends on their version and on the processor, as theirs does. Use it to
replay a paper, never to compare methods. torch is imported only by the rules that need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.arrays import as_codes, is_labelled
from deephash.evaluation.groups import FloatArray, IntArray, require_depth
from deephash.evaluation.ranking import Normalize, average_precision
from deephash.evaluation.rankings import SortRows, ranked_blocks, stable_order
from deephash.evaluation.relevance import relevance_from_labels


@dataclass(frozen=True, slots=True)
class LegacyRule:
    """How one repository computes mAP.

    Attributes:
        sort_rows: its order of the database.
        normalize: its denominator of AP.
        nothing_found: a query without hits counts as 0 or is dropped from the mean.
        unlabelled: the same for queries without any label.
    """

    sort_rows: SortRows
    normalize: Normalize
    nothing_found: Literal["zero", "drop"]
    unlabelled: Literal["zero", "drop"]


def legacy_mean_average_precision(
    repository: str,
    query_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int | None = None,
) -> float:
    """mAP@R as ``repository`` computes it: ``metrics.mean_average_precision(..., legacy=repository)``.

    Where a repository writes ``topk = -1`` for "all" and slices ``[:-1]``, it loses the last item: pass ``top_k=N - 1``
    to replay that.

    Raises:
        UsageError: an unknown repository, or codes and labels that do not fit.
    """
    if repository not in LEGACY_RULES:
        raise UsageError(f"legacy={repository!r} is unknown{did_you_mean(repository, list(LEGACY_RULES))}")
    rule = LEGACY_RULES[repository]
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    relevance = relevance_from_labels(query_labels, database_labels)
    depth = len(database) if top_k is None else require_depth(top_k, len(database))
    if rule.normalize == "first-k":
        depth = len(database)
    blocks = ranked_blocks(queries, database, relevance, rule.sort_rows, depth)
    found = [(average_precision(groups, top_k, rule.normalize), groups.relevant.sum(axis=1)) for _, groups in blocks]
    values = np.nan_to_num(np.concatenate([value for value, _ in found]))
    hits = np.concatenate([hit for _, hit in found])
    return float(values[_counted(rule, hits, np.asarray(query_labels))].mean())


def _counted(rule: LegacyRule, hits: IntArray, labels: NDArray[Any]) -> NDArray[np.bool_]:
    kept = np.ones(len(hits), dtype=bool)
    if rule.nothing_found == "drop":
        kept &= hits > 0
    if rule.unlabelled == "drop":
        kept &= is_labelled(labels)
    if not kept.any():
        raise UsageError("this repository's rule drops every query: none finds anything")
    return kept


# The orders. They sort the numbers that the repositories sort, since the call's answer depends on the type. ----------


def _float_distances(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.float32]:
    return hamming_distance(queries, database).astype(np.float32)


def _numpy_argsort(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    return np.argsort(_float_distances(queries, database), axis=1)[:, :depth]


def _numpy_argsort_of_products(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    products = np.float32(queries.num_bits) - 2 * _float_distances(queries, database)
    return np.argsort(-products, axis=1)[:, :depth]


def _numpy_argpartition(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    distances = _float_distances(queries, database)
    nearest = np.argpartition(distances, depth - 1, axis=1)[:, :depth]
    within = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
    return np.take_along_axis(nearest, within, axis=1)


def _scipy_hamming_argsort(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    shares: FloatArray = hamming_distance(queries, database) / queries.num_bits  # what SciPy's "hamming" returns
    return shares.argsort()[:, :depth]


def _torch_topk(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    import torch

    distances = torch.from_numpy(_float_distances(queries, database))
    return np.asarray(torch.topk(distances, depth, dim=1, largest=False)[1].numpy())


def _torch_argsort(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    import torch

    rows = torch.from_numpy(_float_distances(queries, database))
    return np.stack([torch.argsort(row)[:depth].numpy() for row in rows])


def _torch_sort(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    import torch

    rows = torch.from_numpy(_float_distances(queries, database))
    return np.stack([torch.sort(row[None])[1][0, :depth].numpy() for row in rows])


LEGACY_RULES: dict[str, LegacyRule] = {
    "deephash-pytorch": LegacyRule(_numpy_argsort, "hits", "zero", "zero"),  # swuxyj/DeepHash-pytorch, CalcTopMap
    "hashnet": LegacyRule(_numpy_argsort_of_products, "hits", "drop", "drop"),  # thuml/HashNet, pytorch/src/test.py
    "csq": LegacyRule(_numpy_argsort_of_products, "hits", "zero", "drop"),  # yuanli2333/Hadamard-Matrix-for-hashing
    "thulab": LegacyRule(_numpy_argpartition, "hits", "drop", "drop"),  # thulab/DeepHash, get_mAPs
    "orthohash": LegacyRule(_torch_topk, "hits", "zero", "zero"),  # kamwoh/orthohash, calculate_mAP
    "dpsh-pytorch": LegacyRule(_torch_argsort, "hits", "zero", "zero"),  # TreezzZ/DPSH_PyTorch, utils/evaluate.py
    "dcmh": LegacyRule(_torch_sort, "first-k", "zero", "zero"),  # calc_map_k of the DCMH lineage
    "ucch": LegacyRule(_scipy_hamming_argsort, "hits", "drop", "drop"),  # penghu-cs/UCCH, fx_calc_map_multilabel_k
    "faiss": LegacyRule(stable_order, "hits", "zero", "zero"),  # the order of IndexBinaryFlat: lowest row first
}
