"""The collection page: how many, how good the codes are, which engine answers and how fast, what was changed when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.search import Chance

from .charts import bars, table
from .doors import link
from .workspace import Place

GROUPS = 5
GROUP_PICTURES = 6
VERSIONS = 8
BLOCK = 1 << 16  # codes whose bits are counted at once


@dataclass(frozen=True)
class Collision:
    """Items that share one code: how many, and the first of them."""

    size: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """What the collection page shows; see :func:`collection_facts`."""

    items: int
    coded: int
    unique: int
    shared: int
    num_bits: int
    bytes_a_code: int
    balance: tuple[float, ...]
    dead_bits: int
    collisions: tuple[Collision, ...]
    chance: Chance | None
    engine: str
    p50: float | None
    p95: float | None
    searches: int
    versions: tuple[tuple[int, str, int], ...]
    models: tuple[tuple[int, str, int, str], ...]


def collection_facts(place: Place) -> Facts:
    """Measure the newest version of a collection."""
    snapshot = place.searcher.snapshot
    ids = snapshot.current.index.ids
    codes = snapshot.current.index.codes_of(ids)
    balance = _balance(codes)
    times = list(place.search_times)
    unique, shared, collisions = _collisions(ids, codes)
    return Facts(
        items=len(snapshot),
        coded=len(codes),
        unique=unique,
        shared=shared,
        num_bits=codes.layout.total_bits,
        bytes_a_code=codes.packed.shape[1],
        balance=tuple(float(share) for share in balance),
        dead_bits=int(np.isin(balance, (0.0, 1.0)).sum()) if len(codes) else 0,
        collisions=collisions,
        chance=snapshot.chance,
        engine=snapshot.current.index.explain(),
        p50=float(np.percentile(times, 50)) if times else None,
        p95=float(np.percentile(times, 95)) if times else None,
        searches=len(times),
        versions=tuple(
            (version.version, f"{version.time:%Y-%m-%d %H:%M}", version.num_rows)
            for version in snapshot.collection.versions()[::-1][:VERSIONS]
        ),
        models=_models_of(snapshot.collection),
    )


def _balance(codes: BinaryCodes) -> NDArray[np.float64]:
    """Return the share of ones of each bit; zeros without codes. Bits take eight times the room of codes: by blocks."""
    starts = range(0, len(codes), BLOCK)
    ones = (np.count_nonzero(codes[start : start + BLOCK].bits(), axis=0).ravel() for start in starts)
    total: NDArray[np.float64] = sum(ones, np.zeros(codes.layout.total_bits)) / max(1, len(codes))
    return total


def _collisions(ids: NDArray[np.int64], codes: BinaryCodes) -> tuple[int, int, tuple[Collision, ...]]:
    """Return the number of different codes, of items that share theirs, and the codes shared by most."""
    if not len(codes):
        return 0, 0, ()
    rows = np.ascontiguousarray(codes.packed)
    keys = rows.view(f"V{rows.shape[1]}").ravel()
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    largest = np.argsort(-sizes, kind="stable")[:GROUPS]
    found = tuple(
        Collision(int(sizes[one]), tuple(ids[np.flatnonzero(group == one)[:GROUP_PICTURES]].tolist()))
        for one in largest
        if sizes[one] > 1
    )
    return len(sizes), int(sizes[sizes > 1].sum()), found


def _models_of(collection: Collection) -> tuple[tuple[int, str, int, str], ...]:
    rows = collection.rows_by_model()
    return tuple((each.number, each.called, rows[each.number], each.verdict) for each in collection.model_versions)


def collection_html(place: Place) -> str:
    """Return the page."""
    facts = collection_facts(place)
    searcher = place.searcher
    model = escape(f"{searcher.encoder.description}, model {searcher.collection.fingerprint}")
    model += f"; figures of codes are of the {facts.coded:,} items that it encoded" if facts.coded < facts.items else ""
    chance = escape(str(facts.chance or "too few items for a chance level")).capitalize()
    balance = bars(facts.balance, title="Share of ones, bit by bit (0.5 is best)", middle=0.5)
    return (
        f'<div class="dh-facts-page"><section><h3>{escape(place.name)}</h3>{_tiles(facts)}'
        f'<p class="dh-legend">{model}. {chance}.</p></section>'
        f"<section>{balance}{_health(facts)}</section>"
        f"<section><h3>Most frequent codes</h3>{_groups(place.name, facts.collisions)}</section>"
        f"<section><h3>Engine</h3><pre>{escape(facts.engine)}</pre>{_latency(facts)}</section>"
        f"{_models(facts.models)}<section><h3>Versions</h3>{_versions(facts.versions)}</section></div>"
    )


def _tiles(facts: Facts) -> str:
    floats = 4 * facts.num_bits
    tiles = [
        (f"{facts.items:,}", "items"),
        (f"{facts.unique:,}", "different codes"),
        (f"{facts.num_bits}", "bits"),
        (f"{facts.bytes_a_code} bytes", f"an item; the same values as float32 take {floats}"),
        (size_words(facts.items * facts.bytes_a_code), f"all codes; as float32 {size_words(facts.items * floats)}"),
    ]
    return (
        '<div class="dh-tiles">'
        + "".join(f"<div><b>{big}</b><span>{small}</span></div>" for big, small in tiles)
        + "</div>"
    )


def _health(facts: Facts) -> str:
    words = [f"{facts.dead_bits} of {facts.num_bits} bits never change." if facts.dead_bits else "Every bit is in use."]
    if facts.shared:
        words.append(f"{100 * facts.shared / facts.coded:.0f} % of the items share their code with another one.")
    return f'<p class="dh-legend">{" ".join(words)}</p>'


def _groups(name: str, collisions: Sequence[Collision]) -> str:
    if not collisions:
        return '<p class="dh-legend">No two items share a code.</p>'
    rows = []
    for group in collisions:
        pictures = "".join(link(name, item, f"item {item}", side=96) for item in group.ids)
        rows.append(f'<div class="dh-group"><span>{group.size:,} items</span>{pictures}</div>')
    return "".join(rows)


def _latency(facts: Facts) -> str:
    if facts.p50 is None or facts.p95 is None:
        return '<p class="dh-legend">No search yet since the server was started.</p>'
    counted = f"{facts.searches} search{'es' * (facts.searches != 1)}"
    return (
        f'<p class="dh-legend">{counted}: half of them within {facts.p50:.1f} ms, '
        f"95 % within {facts.p95:.1f} ms (encoding not counted).</p>"
    )


def _models(models: Sequence[tuple[int, str, int, str]]) -> str:
    """Return the models of a collection that was upgraded, and nothing for one model."""
    if len(models) < 2:
        return ""
    rows = [(str(number), called, f"{count:,}", verdict) for number, called, count, verdict in models]
    return f"<section><h3>Models</h3>{table(['version', 'model', 'items', 'measured'], rows, numeric=(0, 2))}</section>"


def _versions(versions: Sequence[tuple[int, str, int]]) -> str:
    rows = [(str(number), time, f"{count:,}") for number, time, count in versions]
    return table(["version", "time", "items"], rows, numeric=(0, 2))


def size_words(count: float) -> str:
    """Return a number of bytes with a unit that suits it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
