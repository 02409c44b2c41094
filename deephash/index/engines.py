"""The families of engines, a row each: what ``open_index`` knows, and nothing about a family stands anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.index.available import has_faiss, has_numba
from deephash.index.base import Engine
from deephash.index.exact import plain_exact
from deephash.index.faiss_approximate import HnswOptions, IvfEngine, IvfOptions, grouped_hnsw
from deephash.index.faiss_flat import FlatEngine
from deephash.index.faiss_multihash import MultiHashEngine
from deephash.index.groups import GroupedEngine, UniqueGroups, count_unique, surely_many
from deephash.index.mapped import MappedEngine, is_mapped
from deephash.index.planner import GROUPS_PAY_BELOW, HAS_MANY, Plan, choose_engine, wants_groups


@dataclass(frozen=True, slots=True)
class ThreadOptions:
    """Options of every family.

    Attributes:
        threads: threads a search may use; None = every core this process may run on.
    """

    threads: int | None = None


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """Options of the exact scan.

    Attributes:
        threads: threads a search may use; None = every core this process may run on.
        prune: cluster pruning; None = used where it pays.
    """

    threads: int | None = None
    prune: bool | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One family of engines.

    Attributes:
        name: what ``open_index`` calls it.
        says: what it is, in a few words.
        options: the dataclass of its options; None in a field leaves the choice to the engine.
        build: (codes whose rows ascend with the ids, options) -> engine.
    """

    name: str
    says: str
    options: type[Any]
    build: Callable[[BinaryCodes, Any], Engine]


def _planned(codes: BinaryCodes, options: ScanOptions) -> Engine:
    return _scan(codes, options, choose_engine(len(codes), codes.num_bits, numba=has_numba()))


def _asked_for(codes: BinaryCodes, options: ScanOptions) -> Engine:
    plan = choose_engine(len(codes), codes.num_bits, numba=has_numba())
    return _scan(codes, options, Plan(plan.choice, "asked for") if has_numba() else plan)


def _scan(codes: BinaryCodes, options: ScanOptions, plan: Plan) -> Engine:
    if is_mapped(codes):
        return Explained(MappedEngine(codes, lambda piece: plain_exact(piece, options.threads)), plan)
    alone = len(codes) < HAS_MANY or surely_many(codes, GROUPS_PAY_BELOW)
    if alone or not wants_groups(len(codes), count_unique(codes)):
        return Explained(plain_exact(codes, options.threads, prune=options.prune), plan)
    groups = UniqueGroups.of(codes)
    return Explained(GroupedEngine(groups, plain_exact(groups.codes, options.threads, prune=options.prune)), plan)


def _flat(codes: BinaryCodes, options: ThreadOptions) -> Engine:
    """Faiss's exact scan, or ours where Faiss cannot be had: the answers are the same."""
    if has_faiss() or not has_numba():
        return FlatEngine(codes, threads=options.threads)
    return Explained(plain_exact(codes, options.threads), Plan("scan", "Faiss is not installed here"))


_FAMILIES = (
    Family("auto", "let the planner choose by size, code length and duplicates", ScanOptions, _planned),
    Family("scan", "our exact scan (Numba)", ScanOptions, _asked_for),
    Family("faiss:flat", "exact, Faiss IndexBinaryFlat", ThreadOptions, _flat),
    Family(
        "faiss:multihash",
        "exact, Faiss IndexBinaryMultiHash with a scan behind it; for small radii",
        ThreadOptions,
        lambda codes, options: MultiHashEngine(codes, threads=options.threads),
    ),
    Family("faiss:ivf", "approximate, Faiss IndexBinaryIVF; see nprobe", IvfOptions, IvfEngine),
    Family("faiss:hnsw", "approximate graph over unique codes; see ef_search", HnswOptions, grouped_hnsw),
)
MILVUS = "milvus:"  # begins the address of a server, whose engine is no family of these
FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}
KINDS: Mapping[str, str] = {family.name: family.says for family in _FAMILIES}


def is_milvus(kind: str) -> bool:
    """Say whether an index is called by the address of a Milvus server."""
    return kind.startswith(MILVUS)


def family_of(kind: str) -> Family:
    """Return the family called ``kind``. Raises UsageError, with a suggestion."""
    if kind not in FAMILIES:
        raise UsageError(f"no index kind {kind!r}{did_you_mean(kind, list(FAMILIES))}")
    return FAMILIES[kind]


class Builder:
    """Builds the engine of one family, at first and again whenever many rows have changed.

    A family that refuses the codes at first refuses the call; one that has come to refuse them (HNSW, after changes)
    gives way to the exact scan, so that an index that is open keeps answering rightly.
    """

    def __init__(self, family: Family, options: Any) -> None:
        self._family, self._options = family, options
        self._opened = False

    def __call__(self, codes: BinaryCodes) -> Engine:
        """Return an engine over ``codes``, whose rows ascend with the ids; at least one."""
        try:
            engine = self._family.build(codes, self._options)
        except UsageError as refusal:
            if not self._opened:
                raise
            engine = Explained(plain_exact(codes, self._options.threads, prune=None), Plan("scan", str(refusal)))
        self._opened = True
        return engine


class Explained:
    """An engine that knows why it was chosen."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self._engine, self._plan = engine, plan
        self.search = engine.search
        self.search_radius = engine.search_radius
        self.warm = engine.warm

    def explain(self) -> str:
        """Describe the choice, the engine and its last search."""
        return f"{self._plan}; {self._engine.explain()}"
