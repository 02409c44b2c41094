"""MilvusIndex: the codes of a table on a server, behind the same protocol as an index in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.errors import UsageError
from deephash.index.base import Allowed, Neighbors, PreparedFilter, Selection
from deephash.index.histogram import distance_histogram
from deephash.index.ids import AscendingIds, UnknownIds, as_ids
from deephash.index.live import merged
from deephash.index.milvus.address import MilvusAddress
from deephash.index.milvus.connection import Connection
from deephash.index.milvus.contents import PlainContents, rows_of
from deephash.index.milvus.nearest import Nearest
from deephash.index.milvus.table import CODE, DRAW, DRAWS, ID, PAGE, Table, code_of
from deephash.numbers import whole

Ids = NDArray[np.int64]
Translate = Callable[[object], str | None]
LISTED = 50_000  # ids that one expression names
NEAR = 1024  # nearest rows whose distances are counted one by one
SAMPLED = 8192  # rows drawn to tell how far away all others lie


class MilvusIndex:
    """Nearest neighbours among the codes of one table on a Milvus server.

    Answers come in the order (distance, id), also where many rows share a distance; a radius is inclusive; a filter is
    translated into the server's language where it can be, and becomes a list of ids where not. Exact with the kind
    ``flat``; ``ivf`` may miss rows. No code is kept in this process; whoever asks for all of them, as a search by the
    first bits of nested codes does, fetches them.

    Args:
        connection: to the server.
        address: names the table and says how it is searched.
        table: on the server; there already.
        translate: turns the rule of a :class:`~deephash.index.base.Selection` into the server's language, or returns
            None where that cannot be said there.
        ids: returns all ids, ascending, where somebody knows them better than the server.
    """

    translates_filters = True

    def __init__(
        self,
        connection: Connection,
        address: MilvusAddress,
        table: Table,
        *,
        translate: Translate | None = None,
        ids: Callable[[], Ids] | None = None,
    ) -> None:
        self._connection, self._address, self._table = connection, address, table
        self._translate = translate or (lambda rule: None)
        self._known_ids = ids
        self.layout: CodeLayout = table.kind.layout
        self.num_bits = self.layout.num_bits
        self._nearest = self._searched(address.nprobe)
        self._last = ""

    def _searched(self, nprobe: int) -> Nearest:
        lists = 0 if self._address.is_exact else nprobe
        return Nearest(self._connection, self._table, lists, self._address.consistency)

    def __len__(self) -> int:
        return self._table.count()

    @cached_property
    def ids(self) -> Ids:
        """All ids, ascending; kept until something changes."""
        if self._known_ids is not None:
            return self._known_ids()
        pages = [np.array([row[ID] for row in page], np.int64) for page in self._table.pages([])]
        return np.sort(np.concatenate([np.empty(0, np.int64), *pages]))

    def codes_of(self, ids: Ids) -> BinaryCodes:
        """Return the codes of ``ids``, in their order. Raises UnknownIds."""
        wanted = as_ids(ids)
        distinct, places = np.unique(wanted, return_inverse=True)
        found, codes = self._table.codes_of(distinct)
        if len(found) < len(distinct):
            raise UnknownIds(np.setdiff1d(distinct, found), len(wanted))
        return codes[places]

    # Changing --------------------------------------------------------------------------------------

    def add(self, ids: Ids, codes: BinaryCodes) -> None:
        """Add items; a known id is replaced."""
        if self._table.kind.attributes:
            raise UsageError("this table holds attributes too; bring it up to date with: deephash collection push")
        contents = PlainContents.of(ids, codes, self.layout)
        for batch in rows_of(contents, np.arange(len(contents.ids))):
            self._table.put(batch)
        self.__dict__.pop("ids", None)

    def remove(self, ids: Ids) -> None:
        """Remove items; ids that are not there are passed over, so that removing twice is harmless."""
        self._table.remove(np.unique(as_ids(ids)))
        self.__dict__.pop("ids", None)

    # Searching -------------------------------------------------------------------------------------

    def search(self, queries: BinaryCodes, k: int, *, allowed: Allowed | None = None) -> Neighbors:
        """Return the ``k`` nearest items of each query, among those ``allowed`` where given."""
        k = whole(k, "k, the number of neighbours wanted,", least=1)
        texts, how = self._expressions(allowed)
        asked = self._packed(queries)
        found = self._top(self._nearest, asked, k, texts)
        least = min(map(len, found), default=k)
        if not self._address.is_exact and least < k and least < sum(map(self._table.count, texts)):
            # the lists looked at held too few: look at all of them
            found = self._top(self._searched(self._address.num_lists), asked, k, texts)
        self._last = f"{len(asked):,} queries, k {k}{how}"
        if not found:
            return Neighbors(np.empty((0, 0), np.int64), np.empty((0, 0), np.int32))
        return Neighbors(np.stack([one.ids for one in found]), np.stack([one.distances for one in found]))

    def _top(self, nearest: Nearest, asked: list[bytes], k: int, texts: list[str]) -> list[Neighbors]:
        answers = [[_nothing()] * len(asked), *(nearest.top(asked, k, text) for text in texts)]
        return [merged(each, k) for each in zip(*answers)]

    def search_radius(self, queries: BinaryCodes, radius: int, *, allowed: Allowed | None = None) -> list[Neighbors]:
        """Return, for each query, every item with distance <= ``radius``."""
        radius = whole(radius, "radius, in bits,")
        texts, how = self._expressions(allowed)
        self._last = f"{len(queries):,} queries, radius {radius}{how}"
        return [
            merged([_nothing(), *(self._nearest.within(query, radius, text) for text in texts)], None)
            for query in self._packed(queries)
        ]

    def counts(self, query: BinaryCodes, *, allowed: Allowed | None = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from one query, int64 [K + 1].

        The nearest are counted one by one, as far as some thousand rows reach; a server counts no distances, so how all
        others are spread is told by rows drawn by chance. The sum is right.
        """
        texts, _ = self._expressions(allowed)
        total = np.zeros(self.num_bits + 1, np.int64)
        for text in texts:
            total += self._counts(query, text)
        return total

    def _counts(self, query: BinaryCodes, where: str) -> NDArray[np.int64]:
        held = self._table.count(where)
        limit = PAGE if held <= PAGE else NEAR
        distances = self._nearest.top(self._packed(query), limit, where)[0].distances
        near = np.bincount(distances, minlength=self.num_bits + 1).astype(np.int64)
        if len(distances) >= held or not len(distances):
            return near
        near[distances[-1] :] = 0  # of the last distance only some may have come
        far = distance_histogram(self._drawn(where, held), query).astype(np.float64)
        far[: distances[-1]] = 0
        return near + _spread(far, held - int(near.sum()), int(distances[-1]))

    def _drawn(self, where: str, held: int) -> BinaryCodes:
        share = min(DRAWS, 1 + DRAWS * SAMPLED // held)
        text = f"{DRAW} < {share}" + (f" and ({where})" if where else "")
        rows = self._table.read(text, [CODE], consistency=self._address.consistency.capitalize())
        packed = np.frombuffer(b"".join(map(code_of, rows)), np.uint8).reshape(-1, self.layout.width)
        return BinaryCodes(packed, self.num_bits)

    def prepare(self, allowed: Ids | AscendingIds) -> PreparedFilter:
        """Return the filter; ids are named to the server in each search."""
        ids = allowed.ids if isinstance(allowed, AscendingIds) else as_ids(allowed)
        return PreparedFilter(ids, self, 0, None)

    def explain(self) -> str:
        """Say which server answers, and how the last search was run."""
        address = self._address
        lists = "" if address.is_exact else f", nprobe {address.nprobe} of {address.num_lists}"
        kind = f"{address.index_type}{lists}, {address.consistency} consistency"
        return f"Milvus at {address.host}, table {self._table.name}, {kind}" + (f"; {self._last}" if self._last else "")

    def _packed(self, queries: BinaryCodes) -> list[bytes]:
        if queries.layout != self.layout:
            raise UsageError(f"the index holds {self.layout.describe()}, the query has {queries.layout.describe()}")
        return [row.tobytes() for row in queries.packed]

    def _expressions(self, allowed: Allowed | None) -> tuple[list[str], str]:
        """Return expressions that no two rows share and that together mean what is allowed; and how, in words."""
        if allowed is None:
            return [""], ""
        if isinstance(allowed, Selection):
            text = self._translate(allowed.rule)
            if text is not None:
                return [text], ", filtered by the server"
        listed = np.unique(as_ids(_listed(allowed)))
        cut = range(0, len(listed), LISTED)
        texts = [f"{ID} in [{', '.join(map(str, listed[start : start + LISTED].tolist()))}]" for start in cut]
        return texts, f", filtered by {len(listed):,} ids"


def _listed(allowed: Allowed) -> Ids:
    inner = allowed.ids if isinstance(allowed, (Selection, PreparedFilter)) else allowed
    return inner.ids if isinstance(inner, AscendingIds) else inner  # type: ignore[return-value]


def _nothing() -> Neighbors:
    return Neighbors(np.empty(0, np.int64), np.empty(0, np.int32))


def _spread(shares: NDArray[np.float64], total: int, first: int) -> NDArray[np.int64]:
    """Return whole numbers that add up to ``total``, in proportion to ``shares``; all at ``first`` without any."""
    if not shares.sum():
        shares[first] = 1.0
    ends = np.rint(np.cumsum(shares) * (total / shares.sum())).astype(np.int64)
    return np.asarray(np.diff(ends, prepend=0), np.int64)
