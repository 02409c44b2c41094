"""Which engine, which order: every choice with its reason, in one place.

The constants are ratios measured by ``benchmarks/search_*.py``; docs/results/search_speed.md shows the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

GATHER_COST = 4.0  # gathering one code costs about as much as scanning this many for one query
FEW_QUERIES, FETCHES_AT_MOST = 4, 128  # looking up a million ids costs more than one scan of their codes
PRUNING_PAYS_BELOW = 0.025  # share of the codes touched; a code in a short slice costs 10 to 15 times a scan
LOOK_UP_COST = 400  # one random look-up or candidate of the band tables costs about as much as scanning this many codes
LOOK_UPS_A_PIVOT = 0.125  # a radius search by pivot lists costs about as much as this many look-ups a pivot
GROUPS_PAY_BELOW = 0.5  # unique codes per item: below it, searching the unique codes saves more than listing costs
WINDOW_EARNED = 20  # such filters cost about as much as sorting the codes of a collection by one column
HAS_MANY = 10_000  # below this every way answers within a millisecond


@dataclass(frozen=True, slots=True)
class Plan:
    """A choice and the reason for it, in words for ``--explain``."""

    choice: str
    reason: str

    def __str__(self) -> str:
        return f"{self.choice}: {self.reason}"


def choose_engine(num_items: int, num_bits: int, *, numba: bool) -> Plan:
    """Choose the kind behind ``auto``: always an exact one."""
    if not numba:
        return Plan("faiss:flat", "exact; Numba is not installed, so our own scan cannot run")
    if num_items < HAS_MANY:
        return Plan("scan", f"exact; {num_items:,} codes of {num_bits} bits take well under a millisecond")
    return Plan("scan", f"exact; {num_items:,} codes of {num_bits} bits, faster than faiss:flat at every size measured")


def filter_first(num_rows: int, num_allowed: int, num_queries: int, *, reused: bool = False) -> bool:
    """Decide whether to gather the allowed codes before the scan, or to mask rows under the cut-off during it.

    Gathering costs GATHER_COST a row once; afterwards every query scans only what is allowed. Masking costs nothing,
    but every query scans everything.
    """
    if reused:  # the gathered codes are kept, so only their memory speaks against it
        return 2 * num_allowed < num_rows
    return num_allowed * (GATHER_COST + num_queries) < num_rows * num_queries


def filter_last(num_rows: int, num_allowed: int, num_queries: int, k: int) -> int:
    """Return how many items to search for without the filter, so that k of them should pass; 0 = look at it first."""
    fetches = int(1.5 * k * num_rows / num_allowed) + 16
    return min(fetches, num_rows) if 1 <= num_queries <= FEW_QUERIES and fetches <= FETCHES_AT_MOST else 0


def window_or_filter(num_rows: int, column: str | None, asked: int) -> Plan:
    """Choose how to apply a filter of a collection.

    Args:
        num_rows: of the collection.
        column: the one number or time that the filter asks a range of; None for all other filters.
        asked: how many searches have asked for ranges of that column, this one included.
    """
    if column is None:
        return Plan("list of ids", "it is not a range of one number or time")
    if num_rows < HAS_MANY:
        return Plan("list of ids", f"{num_rows:,} items are filtered within some milliseconds")
    if asked < WINDOW_EARNED:
        return Plan(
            "list of ids", f"range {asked} of {column}; sorting the codes by it pays from the {WINDOW_EARNED}th on"
        )
    return Plan("window", f"range {asked} of {column}, so the codes are kept sorted by it")


def look_up_budget(num_rows: int, num_pivots: int) -> int:
    """Return how many look-ups of the band tables cost as much as the next best way (``num_pivots`` 0 = the scan)."""
    budget = num_rows // LOOK_UP_COST
    return min(budget, int(LOOK_UPS_A_PIVOT * num_pivots)) if num_pivots else budget


def wants_pruning(touched_share: float) -> bool:
    """Decide from the estimated share of the codes that a pruned query touches whether it pays."""
    return touched_share < PRUNING_PAYS_BELOW


def wants_groups(num_items: int, num_unique: int) -> bool:
    """Decide whether to search unique codes and list their items, instead of all items."""
    return num_items >= HAS_MANY and num_unique < GROUPS_PAY_BELOW * num_items
