"""HTML and SVG of the numbers behind the pictures: bits, the histogram of distances, the line in it."""

from __future__ import annotations

from math import sqrt

from deephash.search import Answer

from .results import counted

WIDTH, HEIGHT, BASE = 320.0, 92.0, 78.0  # SVG units: the drawing, and where the bars stand
COLUMNS = 16


def code_html(answer: Answer) -> str:
    """Return the query's bits as a grid of 16 columns, and the hex.

    Bits that differ from the first hit are marked; bits within noise are pale, where it is known which.
    """
    bits = answer.code.bits().reshape(-1)
    own = next((place for place, hit in enumerate(answer.hits) if answer.is_comparable(hit)), None)
    first = bits if own is None else answer.codes[own].bits().reshape(-1)
    rank = 0 if own is None else answer.hits[own].rank
    difference = _difference(int((bits != first).sum()), rank) if rank else "no result to compare"
    cells = "".join(
        f'<i class="{"on" if bit else "off"}{" diff" if bit != other else ""}{" noisy" if doubt else ""}" '
        f'data-bit="{number}"></i>'
        for number, (bit, other, doubt) in enumerate(zip(bits, first, answer.noisy_bits))
    )
    hexadecimal = answer.code.hex()[0]
    return (
        f'<section class="dh-code" aria-label="Code of the query" data-code="{hexadecimal}">'
        f"<h3>Code <small>{int(bits.sum())} of {len(bits)} bits set</small></h3>"
        f'<div class="dh-bits" style="--columns:{min(COLUMNS, len(bits))}" aria-hidden="true">{cells}</div>'
        f'<p class="dh-diff" aria-live="polite">{difference}</p>{_doubt(answer)}'
        f'<p class="dh-hex"><code>{_grouped(hexadecimal)}</code>'
        f'<button class="dh-copy" data-hex="{hexadecimal}">Copy</button></p></section>'
    )


def _doubt(answer: Answer) -> str:
    if answer.certainty is None:
        return ""
    noisy = int(answer.noisy_bits.sum())
    return f'<p class="dh-doubt">Certainty {answer.certainty:.2f}; {counted(noisy, "pale bit")} within noise</p>'


def _difference(count: int, rank: int) -> str:
    return f"<b>{count}</b> {'bit differs' if count == 1 else 'bits differ'} from <b>#{rank}</b>"


def _grouped(text: str, size: int = 8) -> str:
    return " ".join(text[start : start + size] for start in range(0, len(text), size))


def histogram_html(answer: Answer) -> str:
    """Return the distances of this query to all items, the chance curve, the line, and the cut-off slider beneath."""
    top = len(answer.counts) - 1
    cutoff = top if answer.radius is None else min(answer.radius, top)
    within, bits = int(answer.counts[: cutoff + 1].sum()), counted(cutoff, "bit")
    counts = ",".join(str(int(count)) for count in answer.counts)
    return (
        f'<section class="dh-histogram" data-counts="{counts}" aria-label="Distances of this query to all items">'
        f"<h3>Distances <small>of this query to all items</small></h3>"
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{_in_words(answer)}">{_bars(answer)}{_chance_line(answer)}{_line(answer)}'
        f'<rect class="beyond" x="{_x(cutoff + 1, top):.2f}" y="0" width="{WIDTH - _x(cutoff + 1, top):.2f}" '
        f'height="{BASE:g}"/></svg>'
        f'<input class="dh-cutoff" type="range" min="0" max="{top}" value="{cutoff}" step="1" '
        f'aria-label="Cut-off in bits" aria-valuetext="{bits}">'
        f'<p class="dh-within"><b class="n">{within:,}</b> within <b class="r">{bits}</b>'
        f"{_suggestion(answer)}</p>{_legend(answer)}</section>"
    )


def _bars(answer: Answer) -> str:
    counts = answer.counts
    top, tallest = len(counts) - 1, max(1, int(counts.max(initial=0)))
    width = max(0.6, WIDTH / (top + 1) - 0.4)
    return "".join(
        f'<rect class="bar" x="{_x(far, top):.2f}" y="{BASE - height:.2f}" width="{width:.2f}" height="{height:.2f}"/>'
        for far, count in enumerate(counts)
        if count and (height := max(1.0, 70 * sqrt(count / tallest)))
    )


def _chance_line(answer: Answer) -> str:
    if answer.chance is None:
        return ""
    top = len(answer.counts) - 1
    tallest, total = max(1, int(answer.counts.max(initial=0))), int(answer.counts.sum())
    points = " ".join(
        f"{_x(far + 0.5, top):.2f},{BASE - min(76.0, 70 * sqrt(share * total / tallest)):.2f}"
        for far, share in enumerate(answer.chance.share[: top + 1])
    )
    return f'<polyline class="chance" points="{points}"/>'


def _line(answer: Answer) -> str:
    """Return the upright line behind which hits mean nothing."""
    verdict = answer.verdicts[0]
    if verdict.basis == "none":
        return ""
    x = _x(verdict.cut + 1, len(answer.counts) - 1)
    return f'<line class="cut" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{BASE:g}"/>'


def _suggestion(answer: Answer) -> str:
    """Offer to end the list at the line; nobody is made to."""
    verdict = answer.verdicts[0]
    if verdict.basis == "none" or verdict.cut < 0:
        return ""
    return (
        f' <button class="dh-suggest" data-cutoff="{verdict.cut}" title="Leave out what lies beyond the line">'
        f"end at the line, {verdict.cut}</button>"
    )


def _legend(answer: Answer) -> str:
    if answer.chance is None:
        return '<p class="dh-legend">Chance level: too few items to tell.</p>'
    chance = answer.chance
    return (
        f'<p class="dh-legend"><span class="key"></span> random pairs: {chance.mean:.0f} ± '
        f"{chance.deviation:.0f} bits apart. {_line_words(answer)} Heights are square roots.</p>"
    )


def _line_words(answer: Answer) -> str:
    """Say what the line is, and what it is drawn from."""
    verdict = answer.verdicts[0]
    if verdict.basis == "none":
        return "Too few items are searched to draw a line."
    if verdict.basis == "relevance":
        where = f"within {counted(verdict.cut, 'bit')}" if verdict.cut >= 0 else "at no distance"
        return f'<span class="cut"></span> likely, by known pairs: {where}.'
    if verdict.cut < 0:
        return '<span class="cut"></span> nothing is nearer than chance.'
    false = max(verdict.rates[verdict.cut], 0.001)
    return (
        f'<span class="cut"></span> nearer than chance: within {counted(verdict.cut, "bit")}; of these about '
        f"{100 * false:.2g} % are expected by chance."
    )


def _in_words(answer: Answer) -> str:
    if answer.nearest is None:
        return "No item passes the filter"
    return (
        f"Histogram: nearest item at {answer.nearest} of {answer.num_bits} bits, {answer.counts.sum():,} items in all"
    )


def _x(distance: float, top: int) -> float:
    return WIDTH * distance / (top + 1)
