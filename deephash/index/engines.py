"""Which engine stands behind each kind that ``open_index`` knows."""

from __future__ import annotations

import importlib.util

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.base import Engine, IndexOptions
from deephash.index.planner import HAS_MANY, Plan, choose_engine, wants_groups


class Builder:
    """Builds the engine of one kind, at first and again whenever many rows have changed.

    A kind that refuses the codes at first refuses the call; one that has come to refuse them (HNSW, after changes)
    gives way to the exact scan, so that an index that is open keeps answering rightly.
    """

    def __init__(self, kind: str, options: IndexOptions) -> None:
        self._kind, self._options = kind, options
        self._opened = False

    def __call__(self, codes: BinaryCodes) -> Engine:
        """Return an engine over ``codes``, whose rows ascend with the ids."""
        try:
            engine = build_engine(self._kind, codes, self._options)
        except UsageError as refusal:
            if not self._opened:
                raise
            engine = Explained(_exact(codes, self._options), Plan("scan", str(refusal)))
        self._opened = True
        return engine


def build_engine(kind: str, codes: BinaryCodes, options: IndexOptions) -> Engine:
    """Build the engine of ``kind`` over ``codes`` (rows ascend with the ids; at least one)."""
    from deephash.index import faiss_approximate, faiss_index

    if kind in ("auto", "scan"):
        return _scan(kind, codes, options)
    if kind == "faiss:flat":
        return faiss_index.FlatEngine(codes, threads=options.threads)
    if kind == "faiss:multihash":
        return faiss_index.MultiHashEngine(codes, threads=options.threads)
    if kind == "faiss:ivf":
        return faiss_approximate.IvfEngine(codes, options)
    return faiss_approximate.grouped_hnsw(codes, options)


def plain_exact(codes: BinaryCodes, threads: int | None = None) -> Engine:
    """Return an exact engine that costs nothing to build: for subsets, additions and checks."""
    if has_numba():
        from deephash.index.scan import ScanEngine

        return ScanEngine(codes, threads=threads, prune=False)
    from deephash.index.faiss_index import FlatEngine

    return FlatEngine(codes, threads=threads)


def has_numba() -> bool:
    """Say whether Numba is installed, without importing it."""
    return importlib.util.find_spec("numba") is not None


def _scan(kind: str, codes: BinaryCodes, options: IndexOptions) -> Engine:
    from deephash.index.groups import GroupedEngine, UniqueGroups, count_unique
    from deephash.index.mapped import MappedEngine, is_mapped

    plan = choose_engine(len(codes), codes.num_bits, numba=has_numba())
    if kind == "scan":
        plan = Plan(plan.choice, "asked for" if has_numba() else plan.reason)
    if is_mapped(codes):
        return Explained(MappedEngine(codes, lambda piece: plain_exact(piece, options.threads)), plan)
    if len(codes) < HAS_MANY or not wants_groups(len(codes), count_unique(codes)):
        return Explained(_exact(codes, options), plan)
    groups = UniqueGroups.of(codes)
    return Explained(GroupedEngine(groups, _exact(groups.codes, options)), plan)


def _exact(codes: BinaryCodes, options: IndexOptions) -> Engine:
    if not has_numba():
        return plain_exact(codes, options.threads)
    from deephash.index.scan import ScanEngine

    return ScanEngine(codes, threads=options.threads, prune=options.prune)


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
