"""Small SVG drawings that follow the page's colours: lines and bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 360.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 10.0, 10.0, 34.0


def line_chart(
    x: Sequence[float], y: Sequence[float], *, title: str, across: str, up: str, logarithmic: bool = False
) -> str:
    """Return a line chart of y in 0..1 over x.

    Args:
        x: ascending values.
        y: as many values; None-like gaps are not drawn.
        title: said above, and to screen readers.
        across: what x is.
        up: what y is.
        logarithmic: spread x by its logarithm.
    """
    from math import log

    points = [(log(a) if logarithmic else a, b) for a, b in zip(x, y) if b == b and (a > 0 or not logarithmic)]
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    span = (last - first) or 1.0
    path = " ".join(f"{_x((a - first) / span):.1f},{_y(b):.1f}" for a, b in points)
    ticks = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(level):.1f}" y2="{_y(level):.1f}" class="grid"/>'
        f'<text x="{LEFT - 5}" y="{_y(level) + 3.5:.1f}" text-anchor="end">{level:g}</text>'
        for level in (0, 0.25, 0.5, 0.75, 1)
    )
    low, high = (x[0] if not logarithmic else next(a for a in x if a > 0)), x[-1]
    return (
        f'<figure class="dh-chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(title, quote=True)}">{ticks}'
        f'<polyline class="line" points="{path}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 18}" >{low:.3g}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 18}" text-anchor="end">{high:g}</text>'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(across)}</text>'
        f'<text x="4" y="{TOP + 2}" class="up">{escape(up)}</text></svg></figure>'
    )


def bars(values: Sequence[float], *, title: str, middle: float | None = None) -> str:
    """Return one thin bar a value in 0..1, with a line at ``middle``."""
    width = WIDTH / max(1, len(values))
    drawn = "".join(
        f'<rect class="bar" x="{number * width:.2f}" y="{60 * (1 - value):.2f}" width="{max(0.5, width - 0.6):.2f}" '
        f'height="{60 * value:.2f}"><title>bit {number}: {value:.2f}</title></rect>'
        for number, value in enumerate(values)
    )
    line = (
        ""
        if middle is None
        else f'<line class="middle" x1="0" x2="{WIDTH}" y1="{60 * (1 - middle)}" y2="{60 * (1 - middle)}"/>'
    )
    return (
        f'<figure class="dh-chart dh-balance"><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH:g} 60" '
        f'preserveAspectRatio="none" role="img" aria-label="{escape(title, quote=True)}">{drawn}{line}</svg></figure>'
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[int] = ()) -> str:
    """Return an HTML table; cells are text, columns in ``numeric`` stand to the right."""

    def cell(tag: str, column: int, text: str) -> str:
        return f"<{tag}{' class=n' if column in numeric else ''}>{escape(text)}</{tag}>"

    head = "".join(cell("th", column, text) for column, text in enumerate(header))
    body = "".join(
        "<tr>" + "".join(cell("td", column, text) for column, text in enumerate(row)) + "</tr>" for row in rows
    )
    rows_html = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="dh-scroll"><table class="dh-table">{rows_html}</table></div>'


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return TOP + (1 - min(max(value, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)
