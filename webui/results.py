"""HTML of the answers: the grid of pictures, the trail, the status line, and what is said when nothing is found."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from deephash.search import Answer, Hit, Part, Query, Sliders

from .address import link_attributes
from .cards import facts_html
from .pageoptions import PageOptions
from .workspace import MOST_SHOWN, RERANKED


def results_html(answer: Answer, *, removable: bool = False) -> str:
    """Return the grid of an answer, or a sentence where nothing is near enough."""
    if not answer.hits:
        return nothing_found_html(answer)
    codes = [code.hex()[0] for code in answer.codes]
    cards, line = [], answer.line
    for position in range(len(answer.hits)):
        cards += [_line_html(answer)] if position == line else []
        if answer.leaders and answer.leaders[position] != position:
            continue
        code = codes[position] if answer.is_comparable(answer.hits[position]) else ""
        cards.append(_card(answer, position, code))
    shown = sum('class="dh-card' in card for card in cards)
    link = link_attributes(answer)
    link += " data-removable" * removable
    grid = f'<div class="dh-grid" role="list" aria-label="{counted(shown, "result")}"{link}>{"".join(cards)}</div>'
    return f"{_no_match_html(answer)}{_sizes_html()}{grid}{_further_html(answer)}"


def _sizes_html() -> str:
    """Return the switch between small and large thumbnails; which of them is on, the browser knows."""
    names = (("small", "▦", "Small pictures"), ("large", "◻", "Large pictures"))
    buttons = "".join(
        f'<button data-size="{name}" aria-pressed="false" aria-label="{title}" title="{title}">{sign}</button>'
        for name, sign, title in names
    )
    return f'<div class="dh-sizes" role="group" aria-label="Size of the pictures">{buttons}</div>'


def _further_html(answer: Answer) -> str:
    """Return the button that shows more: as many again, as far as the radius and the collection reach."""
    k, reach = answer.options.k, min(within_reach(answer), MOST_SHOWN)
    more = min(k, reach - len(answer.hits))
    if len(answer.hits) < k or more <= 0:
        return ""
    return (
        f'<p class="dh-end"><button class="dh-action dh-further" data-k="{k + more}">Show {more:,} more</button> '
        f"<small>{len(answer.hits):,} of {within_reach(answer):,}{' within the cut-off' * (answer.radius is not None)}"
        "</small></p>"
    )


def within_reach(answer: Answer) -> int:
    """Return how many items pass the filter and lie within the cut-off."""
    last = None if answer.radius is None else answer.radius + 1
    return sum(int(counts[:last].sum()) for _, _, counts in answer.spaces)


def _line_html(answer: Answer) -> str:
    """Return the line behind the last result that means something: what follows stays visible, greyed."""
    return f'<div class="dh-line" role="listitem"><span>{escape(answer.beyond)}</span></div>'


def _no_match_html(answer: Answer) -> str:
    if not answer.headline:
        return ""
    why = answer.headline.removeprefix("no match: ")
    text = f"{why[0].upper()}{why[1:]}. What is nearest all the same is below."
    return message_html("No match", text)


def _card(answer: Answer, position: int, code: str) -> str:
    hit, remark, word = answer.hits[position], answer.remarks[position], answer.word(answer.hits[position])
    name = hit.uri.rsplit("/", 1)[-1]
    label = (
        f"Result {hit.rank}: {name}, distance {hit.distance} of {hit.num_bits} bits, "
        f"similarity {hit.similarity:.2f}{', ' * bool(word)}{word}. Show it large"
    )
    near = "" if answer.is_above(hit) else " dh-far"
    notes = [f'<b class="dh-word">{escape(word)}</b>'] if word else []
    notes += [escape(remark)] if remark else []
    notes += [] if hit.score is None else [f"vectors: {hit.score:.3f}"]
    notes += [] if hit.by_chance is None else [f"model {hit.model_version}, {_probability(hit.by_chance)} by chance"]
    notes += [answer.folded(position)] if answer.folded(position) else []
    share = 100 * hit.distance / hit.num_bits
    cards = answer.options.cards if isinstance(answer.options, PageOptions) else None
    said = escape(" · ".join([f"{hit.distance} of {hit.num_bits} bits differ", *([word] if word else [])]), quote=True)
    return (
        f'<div class="dh-card{near}" role="listitem" data-distance="{hit.distance}">'
        f'<a class="dh-hit" href="{item_address(answer.name, hit.id)}" data-id="{hit.id}" data-rank="{hit.rank}" '
        f'data-code="{code}" data-said="{said}" aria-label="{escape(label, quote=True)}">'
        f'<img src="{thumbnail_url(answer.name, hit.id)}" srcset="{thumbnail_url(answer.name, hit.id)} 256w, '
        f'{thumbnail_url(answer.name, hit.id, 512)} 512w" sizes="160px" alt="{escape(_alt(hit), quote=True)}" '
        f'loading="{"eager" if hit.rank <= 12 else "lazy"}" decoding="async">'
        f'<span class="dh-facts"><b>{hit.distance}</b><small>/{hit.num_bits}</small>'
        f'<span class="dh-sim" title="similarity = 1 - distance / bits">{hit.similarity:.3f}</span></span>'
        f'<span class="dh-bar" aria-hidden="true"><i style="width:{share:.1f}%"></i></span>'
        f"{facts_html(hit, cards)}"
        f'<span class="dh-note">{" · ".join(notes)}</span></a>{_tools(hit, name)}</div>'
    )


def _probability(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _tools(hit: Hit, name: str) -> str:
    """Return what lies over a picture: a box that selects it; more like it, less like it."""
    quoted = escape(name, quote=True)
    return (
        f'<label class="dh-pick"><input type="checkbox" aria-label="Select {quoted}"></label>'
        f'<div class="dh-more"><button class="dh-steer" data-id="{hit.id}" data-sign="1" title="More like this one" '
        f'aria-label="More like {quoted}">+</button><button class="dh-steer" data-id="{hit.id}" data-sign="-1" '
        f'title="Less like this one" aria-label="Less like {quoted}">−</button></div>'
    )


def item_address(name: str, item: int) -> str:
    """Return the address of the page that searches with an item, as an attribute may hold it."""
    return f"?{escape(urlencode({'collection': name, 'id': item}), quote=True)}"


def thumbnail_url(name: str, item: int, side: int = 256) -> str:
    """Return the address of a thumbnail, relative to the page."""
    return f"api/items/{item}/thumbnail?collection={quote(name)}&amp;side={side}"


def nothing_found_html(answer: Answer) -> str:
    """Say why there is no answer, and what would give one."""
    nearest, cutoff = answer.nearest, answer.radius
    if answer.total == 0:
        return message_html("The collection is empty", "Add pictures on the Collection page, or run deephash index.")
    if nearest is None:
        return message_html(
            "No item passes the filter", f"{answer.options.where} leaves none of {answer.total:,} items."
        )
    return message_html(
        f"No match within {counted(cutoff or 0, 'bit')}",
        f"The nearest of {answer.total:,} items is at {nearest} of {answer.num_bits} bits. {_chance_words(answer)}",
        action=f'<button class="dh-action" data-cutoff="{nearest}">Show it anyway</button>',
    )


def _chance_words(answer: Answer) -> str:
    if answer.chance is None:
        return ""
    return f"Unrelated items lie about {answer.chance.mean:.0f} bits apart."


def message_html(title: str, text: str, *, kind: str = "note", action: str = "") -> str:
    """Return a calm panel with a title and one sentence; ``kind`` is note or error."""
    role = "alert" if kind == "error" else "status"
    return (
        f'<div class="dh-message dh-{kind}" role="{role}"><h3>{escape(title)}</h3><p>{escape(text)}</p>{action}</div>'
    )


def welcome_html(
    name: str,
    examples: Sequence[tuple[int, str]],
    total: int,
    num_bits: int,
    modalities: Sequence[str],
    link: str = "",
) -> str:
    """Return what is shown before the first query, at the address ``link``: what to do, and pictures to begin with."""
    ways = ["give a picture, draw one"] * ("image" in modalities) + ["say it in words"] * ("text" in modalities)
    todo = ", ".join([*ways, "or start with one of these" if ways else "start with one of these"])
    pictures = "".join(
        f'<div class="dh-card" role="listitem"><a class="dh-hit" href="{item_address(name, item)}" data-id="{item}" '
        f'aria-label="Show {escape(uri, quote=True)} large"><img src="{thumbnail_url(name, item)}" '
        f'alt="{escape(uri, quote=True)}" decoding="async"></a></div>'
        for item, uri in examples
    )
    return (
        f'<div class="dh-welcome" data-link="{link}" data-key="" data-kind="">'
        f"<h2>Search {counted(total, 'picture')} by what they show</h2>"
        f"<p>{todo[0].upper()}{todo[1:]}. "
        f"Each picture is a code of {num_bits} bits; the fewer bits differ, the nearer.</p>"
        f'<div class="dh-grid dh-examples" role="list" aria-label="Examples">{pictures}</div></div>'
    )


def status_html(answer: Answer) -> str:
    """Return one line: how many of how many, how fast, by which model, what is tied or re-ranked, and the list."""
    total = counted(answer.total, "picture")
    verdict = answer.verdicts[0]
    notes = [*answer.notes, *([] if verdict.basis == "none" else [verdict.why])]
    parts = [
        ("", f"{len(answer.hits)} of {total}" if answer.hits else total),
        ("dh-detail", f"{answer.num_bits} bits"),
        ("dh-detail", f"search {answer.search_ms:.1f} ms, encode {answer.encode_ms:.0f} ms"),
        ("dh-detail", escape(answer.model)),
        ("dh-detail", _last_tie(answer)),
        ("", _order(answer)),
        ("", _download(answer)),
        *(("dh-said", escape(note)) for note in notes),
    ]
    # Each part keeps its dot, so that a line never ends in one; a phone has no room for details.
    said = " ".join(f'<span class="dh-part {kind}">{part}</span>' for kind, part in parts if part)
    return f'<p class="dh-status dh-parts" role="status">{said}</p>'


def _last_tie(answer: Answer) -> str:
    """Say so where others lie as far away as the last result, because then chance decided which is shown."""
    last = answer.hits[-1] if answer.hits else None
    if last is None or last.tie_size < 2 or answer.reranked:
        return ""
    return f"{last.tie_size:,} items tie at {counted(last.distance, 'bit')}"


def _order(answer: Answer) -> str:
    """Say by what the results are ordered, where it is not one model's distances."""
    if answer.is_merged:
        return "answers of several models, in the order of how probable their distance is by chance"
    if not answer.options.rerank:
        return ""
    if answer.reranked:
        return f"the nearest {RERANKED} codes in order of their vectors"
    return "in order of the codes: vectors compare one picture or phrase only"


def _download(answer: Answer) -> str:
    if not answer.hits:
        return ""
    encoded = base64.b64encode(results_csv(answer.hits).encode()).decode()
    return f'<a download="results.csv" href="data:text/csv;base64,{encoded}">Download list</a>'


def results_csv(hits: Sequence[Hit]) -> str:
    """Return the hits as CSV: rank, distance, similarity, path, id, tie_size."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["rank", "distance", "similarity", "path", "id", "tie_size"])
    for hit in hits:
        path = for_spreadsheet(hit.uri)
        writer.writerow([hit.rank, hit.distance, f"{hit.similarity:.4f}", path, hit.id, hit.tie_size])
    return buffer.getvalue()


def for_spreadsheet(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs: a text that begins like a formula gets a quote in front."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell


def trail_html(trail: Sequence[Query], position: int) -> str:
    """Return the queries so far as a row of small pictures and words; the current one is marked."""
    if not trail:
        return ""
    back = f'<button class="dh-back" data-step="{position - 1}" {"disabled" * (position == 0)}>← Back</button>'
    first = max(0, len(trail) - 12)
    steps = "".join(_step(query, number, number == position) for number, query in enumerate(trail) if number >= first)
    return f'<nav class="dh-trail" aria-label="Queries so far">{back}<ol>{steps}</ol></nav>'


def _step(query: Query, number: int, current: bool) -> str:
    picture = f'<img src="{escape(query.thumbnail, quote=True)}" alt="">' if query.thumbnail else ""
    words = escape(shortened(query.label))
    mark = ' aria-current="step"' if current else ""
    title = escape(query.label, quote=True)
    return f'<li><button data-step="{number}"{mark} title="{title}">{picture}<span>{words}</span></button></li>'


def chips_html(query: Query) -> str:
    """Return the parts of the query that is shown, with their weights, and for each a button that leaves it out."""
    chips = "".join(_chip(part, number, _weight(query, part)) for number, part in enumerate(query.parts))
    change = '<li><button class="dh-change" aria-expanded="false">Change</button></li>'  # for phones
    return f'<ul class="dh-chips" aria-label="Parts of the query">{chips}{change}</ul>'


def _weight(query: Query, part: Part) -> str:
    """Return the share of a part: of the sliders, where they mix; else its weight, where it is not 1."""
    if query.worded and part.weight > 0:
        beta = (query.sliders or Sliders()).beta
        share = beta if part.is_wanted_text else 1 - beta
        return f"{100 * share:.0f} %"
    return "" if abs(part.weight) == 1 else f"× {abs(part.weight):g}"


def _chip(part: Part, number: int, weight: str) -> str:
    sign, mark = ("−", " dh-unwanted") if part.weight < 0 else ("+", "")
    picture = f'<img src="{escape(part.thumbnail, quote=True)}" alt="">' if part.thumbnail else ""
    title, words = escape(part.label, quote=True), escape(shortened(part.label))
    share = f"<small>{weight}</small>" if weight else ""
    return (
        f'<li class="dh-chip{mark}" title="{title}"><b>{sign}</b>{picture}<span>{words}</span>{share}'
        f'<button data-part="{number}" aria-label="Leave {title} out of the query">×</button></li>'
    )


def shortened(text: str, length: int = 28) -> str:
    """Return a text that fits into a chip; of a path the end says more than the beginning."""
    return text if len(text) <= length else "…" + text[1 - length :]


def _alt(hit: Hit) -> str:
    label = hit.attributes.get("label")
    name = hit.uri.rsplit("/", 1)[-1]
    return f"{label}: {name}" if label else name


def counted(number: int, thing: str) -> str:
    """Return a number and what it counts: ``1 bit``, ``2,000 bits``."""
    return f"{number:,} {thing}{'s' * (number != 1)}"
