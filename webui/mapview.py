"""The map of a collection's codes: places and colours of its points as the browser takes them, and their HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from deephash.search.snapshot import Shard

from .catalogue import Catalogue, Shelf, shelf_label
from .doors import door
from .keptmaps import kept_map
from .results import counted

POINTS = 20_000  # that a browser draws at once
COLOURS = 10
ELSE = "others"


@dataclass(frozen=True, eq=False)
class CodeMap:
    """Where items lie, and what colours them.

    Attributes:
        ids: int64 [P], the items shown.
        places: uint16 [P, 2], across and down.
        colours: uint8 [P], places in ``names``.
        names: what each colour means.
        regions: clusters of the items, the middle of each in front: the same map as a list.
        total: items there are.
    """

    ids: NDArray[np.int64]
    places: NDArray[np.uint16]
    colours: NDArray[np.uint8]
    names: Sequence[str]
    regions: Sequence[Shelf]
    total: int


def make_map(shard: Shard, catalogue: Catalogue, *, writes: bool) -> CodeMap:
    """Lay out the codes of the newest model; of very many items a fixed sample. Kept where ``writes``."""
    every = shard.index.ids
    ids = every
    if len(every) > POINTS:
        ids = np.sort(np.random.default_rng(0).choice(every, POINTS, replace=False))
    codes = shard.index.codes_of(ids)
    places, found = kept_map(shard.collection, codes, writes=writes)
    regions = catalogue.clusters(ids, found)
    colours, names = _colours(catalogue, ids, found.of, [shelf.title for shelf in regions])
    return CodeMap(ids, places, colours, names, regions, len(every))


def _colours(
    catalogue: Catalogue, ids: NDArray[np.int64], cluster: NDArray[np.int64], titles: Sequence[str]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Colour by class where the items have one, else by cluster; the most frequent have a colour of their own."""
    if catalogue.labels:
        labels = [
            catalogue.labels[place] or "without a class" for place in np.searchsorted(catalogue.ids, ids).tolist()
        ]
        names, of, counts = np.unique(
            np.array(labels, dtype=object).astype(str), return_inverse=True, return_counts=True
        )
        said = names.tolist()
    else:
        of, said, counts = cluster, list(titles), np.bincount(cluster, minlength=len(titles))
    order = np.argsort(-counts, kind="stable")
    place = np.full(len(counts), COLOURS, np.int64)
    place[order[:COLOURS]] = np.arange(len(order[:COLOURS]))
    more = [ELSE] if len(counts) > COLOURS else []
    return place[of].astype(np.uint8), [said[each] for each in order[:COLOURS].tolist()] + more


def map_html(name: str, found: CodeMap, catalogue: Catalogue) -> str:
    """Return the drawing, its legend, room for what is around a point, and the regions as a list."""
    data = found.ids.astype("<i8").tobytes() + found.places.astype("<u2").tobytes() + found.colours.tobytes()
    some = f"{len(found.ids):,} of {counted(found.total, 'picture')}" if len(found.ids) < found.total else ""
    some = some or counted(found.total, "picture")
    legend = "".join(
        f'<li><i class="dh-dot dh-dot-{number if title != ELSE else "else"}"></i>{escape(title)}</li>'
        for number, title in enumerate(found.names)
    )
    regions = "".join(_region(name, shelf, catalogue) for shelf in found.regions)
    return (
        f'<p class="dh-legend">{some}; each point is one, near codes lie near each other. Far groups say nothing '
        "by how far they are. Point at one to see it, click to list what lies around it.</p>"
        f'<div class="dh-map" data-collection="{escape(name, quote=True)}" data-count="{len(found.ids)}" '
        f'data-points="{base64.b64encode(data).decode()}">'
        '<div class="dh-sky"><canvas tabindex="0" role="application" aria-label="Map of the codes: arrow keys go from '
        "picture to picture, Enter lists what lies around, plus and minus zoom, zero shows all. The same pictures are "
        'in the list of regions below."></canvas><div class="dh-peek" hidden><img alt=""></div>'
        '<div class="dh-zoom"><button data-zoom="1.6" aria-label="Zoom in">+</button><button data-zoom="0.625" '
        'aria-label="Zoom out">−</button><button data-zoom="0" aria-label="Show all">⤢</button></div></div>'
        f'<div><ul class="dh-key" aria-label="What the colours mean">{legend}</ul>'
        '<section class="dh-around" hidden><h3>Around this point</h3>'
        '<div class="dh-grid dh-small" role="list"></div></section>'
        f'<section><h3>One of each region</h3><div class="dh-grid dh-small" role="list">{regions}</div></section>'
        "</div></div>"
    )


def _region(name: str, shelf: Shelf, catalogue: Catalogue) -> str:
    """Return the middle of a cluster."""
    middle = int(shelf.ids[0])
    under = f'<span class="dh-note">{escape(shelf.title)} · {len(shelf):,}</span>'
    return door(name, middle, catalogue.uri_of(middle), label=shelf_label(shelf), under=under)
