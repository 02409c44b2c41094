"""One version of a collection, ready to be searched: a shard for every space of codes in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.model_versions import ModelVersion
from deephash.collection.pair_counts import FILE_NAME, PairCounts, known_pairs_of, stamp_of
from deephash.errors import CollectionDamaged, UsageError
from deephash.evaluation.null import Null, independent_null
from deephash.index import open_index
from deephash.index.engines import is_milvus
from deephash.index.ids import UnknownIds
from deephash.search.chance import Chance, chance_among, chance_of, is_histogram
from deephash.search.narrowing import Narrowing, Selections

if TYPE_CHECKING:
    from deephash.index import CodeIndex
    from deephash.index.querybank import HubCorrection
    from deephash.index.symmetric import SymmetricIndex

logger = logging.getLogger(__name__)
LEAST_MEASURED = 50  # items of a model, below which their distances say nothing about chance
NEIGHBOURS = 16  # that tell which bits of an item are firm


@dataclass(frozen=True)
class Shard:
    """The items of one version of a collection whose codes can be compared with each other.

    Attributes:
        collection: opened at this version.
        model: the newest model of these codes; it encodes the queries.
        index: holds the codes, and answers.
        selections: filters, which all shards of a version share.
    """

    collection: Collection
    model: ModelVersion
    index: CodeIndex
    selections: Selections
    _corrections: dict[str, HubCorrection] = field(default_factory=dict, repr=False)
    _known: dict[tuple[int, int] | None, tuple[tuple[PairCounts, ...], str]] = field(default_factory=dict, repr=False)
    _prefixes: dict[int, Shard] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, item: int) -> bool:
        place = int(np.searchsorted(self.index.ids, item))
        return place < len(self) and int(self.index.ids[place]) == item

    def correction(self, kind: str) -> HubCorrection:
        """Return the hub correction stored for queries of ``kind``; read once a version."""
        from deephash.collection.hubs import hub_correction

        if kind not in self._corrections:
            self._corrections[kind] = hub_correction(self.collection, kind)
        return self._corrections[kind]

    @cached_property
    def symmetric(self) -> SymmetricIndex:
        """Searches codes of several levels by what they stand for; built at the first such query of a version."""
        from deephash.index.symmetric import SymmetricIndex

        return SymmetricIndex(self.index.ids, self.index.codes_of(self.index.ids))

    @cached_property
    def chance(self) -> Chance | None:
        """How far apart unrelated items are; measured once a version.

        Where others have codes of models that cannot be compared, it is what each model made of the same pictures when
        they were compared: a few new items alone say little, and may all be alike.
        """
        ids = self.index.ids
        if len(ids) < len(self.collection):
            measured = self._measured()
            if measured is not None:
                return chance_of(measured)
            if len(ids) < LEAST_MEASURED:
                return None
        return chance_among(len(ids), lambda places: self.index.codes_of(ids[places]))

    def _measured(self) -> NDArray[np.int64] | None:
        """Return the distances that were counted when this model, or the next, was published."""
        for version in self.collection.model_versions:
            for side, number in (("chance", version.number), ("chance_before", version.number - 1)):
                counts = version.evidence.get(side)
                if number == self.model.number and is_histogram(counts, self.index.layout.max_distance):
                    return np.asarray(counts, np.int64)
        return None

    @cached_property
    def null(self) -> Null:
        """How far away unrelated items lie; of independent bits where there are no pairs to measure."""
        return independent_null(self.index.layout.max_distance) if self.chance is None else self.chance.null()

    @property
    def by_chance(self) -> NDArray[np.float64]:
        """Probability that an unrelated item lies within each distance, float64 [K L + 1]."""
        return self.null.within

    @property
    def known_pairs(self) -> tuple[PairCounts, ...]:
        """Known pairs of these codes, one table a direction: of the collection's own rows, else of the model's run.

        They are read again when ``deephash collection calibrate`` wrote them; none where they cannot be read.
        """
        return self._pairs()[0]

    @property
    def unread_pairs(self) -> str:
        """Why the known pairs cannot be read; empty where they can."""
        return self._pairs()[1]

    def _pairs(self) -> tuple[tuple[PairCounts, ...], str]:
        stamp = stamp_of(self.collection.path)
        if stamp not in self._known:
            try:
                pairs = known_pairs_of(self.collection, self.model, self.index.layout.max_distance), ""
            except CollectionDamaged as error:  # a search must not die of what only adds a word to its hits
                logger.warning("%s", error)
                pairs = (), f"{FILE_NAME} cannot be read, so only chance is told; it may be removed, or measured again"
            self._known.clear()
            self._known[stamp] = pairs
        return self._known[stamp]

    @cached_property
    def narrowing(self) -> Narrowing:
        """Applies filters to these items."""
        return Narrowing(self.selections, self.index)

    def prefix(self, bits: int) -> Shard:
        """Return these items with only the first ``bits`` of their codes; that index is kept as long as this one."""
        with self._lock:
            if bits not in self._prefixes:
                ids = self.index.ids
                index = open_index("auto", ids, self.index.codes_of(ids).prefix(bits))
                self._prefixes[bits] = Shard(self.collection, self.model, index, self.selections)
            return self._prefixes[bits]

    def codes_of(self, ids: Sequence[int] | NDArray[np.int64]) -> BinaryCodes:
        """Return the stored codes of ``ids``, in their order. Raises UsageError for an id that is not there."""
        try:
            return self.index.codes_of(np.asarray(ids, dtype=np.int64))
        except UnknownIds as unknown:
            missing = ", ".join(str(item) for item in unknown.ids[:5])
            raise UsageError(f"{self.collection.path} has no item {missing}; it holds {len(self):,} items") from None

    def item_and_neighbours(self, item: int) -> BinaryCodes:
        """Return the code of an item, and behind it those of its nearest neighbours, for a mixture."""
        code = self.codes_of([item])
        if not code.layout.is_flat:
            return code
        near = self.index.search(code, NEIGHBOURS + 1).ids[0]
        return BinaryCodes.concatenate([code, self.codes_of(near[near != item])])


def _index_over(collection: Collection, space: ModelVersion, kind: str) -> CodeIndex:
    """Return an index over the codes of one model, in this process or on a server."""
    if not is_milvus(kind):
        return open_index(kind, *collection.codes(space.column))
    from deephash.collection.milvus_push import Pusher
    from deephash.index.milvus import MilvusAddress

    return Pusher(collection, MilvusAddress.parse(kind)).open(space)


@dataclass(frozen=True)
class Snapshot:
    """One version of a collection; replaced as a whole when the collection changes.

    Attributes:
        collection: opened at this version.
        shards: one, unless models that cannot be compared made its codes: then that of the current model first.
    """

    collection: Collection
    shards: tuple[Shard, ...]

    @classmethod
    def of(cls, collection: Collection, kind: str) -> Snapshot:
        """Read the codes of a collection and build an index of ``kind`` over those of each model."""
        selections = Selections(collection)
        first, *others = [(space, _index_over(collection, space, kind)) for space in collection.spaces]
        filled = [first, *(each for each in others if len(each[1]))]
        return cls(collection, tuple(Shard(collection, space, index, selections) for space, index in filled))

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __iter__(self) -> Iterator[Shard]:
        return iter(self.shards)

    @property
    def current(self) -> Shard:
        """The items of the newest model."""
        return self.shards[0]

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all items, int64 [N], ascending."""
        if len(self.shards) == 1:
            return self.current.index.ids
        return np.sort(np.concatenate([shard.index.ids for shard in self.shards]))

    @property
    def chance(self) -> Chance | None:
        """How far apart unrelated items of the current model are."""
        return self.current.chance

    def shard_of(self, item: int) -> Shard:
        """Return where an item is; the current shard for one that is not there, which then says so."""
        return next((shard for shard in self.shards if item in shard), self.current)

    def codes_of(self, ids: Sequence[int] | NDArray[np.int64]) -> BinaryCodes:
        """Return the stored codes of ``ids``, in their order.

        Raises:
            UsageError: an id that is not there, or codes of models that cannot be compared.
        """
        holders = {id(shard): shard for shard in map(self.shard_of, np.asarray(ids).tolist())}
        if len(holders) > 1:
            raise UsageError(
                f"{self.collection.path} holds these items in codes of {len(holders)} models that cannot be compared; "
                "ask for those of each model by itself"
            )
        return (next(iter(holders.values())) if holders else self.current).codes_of(ids)

    def prefix(self, bits: int) -> Snapshot:
        """Return this version with only the first ``bits`` of its codes; shorter codes of other models stay whole."""
        first, *others = self.shards
        cut = [shard.prefix(min(bits, shard.index.num_bits)) for shard in others]
        return Snapshot(self.collection, (first.prefix(bits), *cut))
