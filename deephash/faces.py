"""How things show themselves in a notebook, and as tables of other libraries; whatever is shown is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib import import_module
from typing import Any

from deephash.errors import UsageError

_CELL = "padding:2px 10px;text-align:left;vertical-align:middle"


def html_table(rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Return an HTML table; cells are escaped, unless they are :class:`Html`."""
    head = "".join(f'<th style="{_CELL}">{_cell(word)}</th>' for word in header)
    lines = ["".join(f'<td style="{_CELL}">{_cell(value)}</td>' for value in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="border-collapse:collapse">{f"<tr>{head}</tr>" if head else ""}{body}</table>'


class Html(str):
    """Text that is HTML already."""


def html_picture(content: bytes, media_type: str, title: str = "", side: int = 96) -> Html:
    """Return a small picture that needs no file beside it."""
    source = f"data:{escape(media_type)};base64,{b64encode(content).decode()}"
    style = f"max-width:{side}px;max-height:{side}px"
    return Html(f'<img src="{source}" alt="{escape(title)}" title="{escape(title)}" style="{style}">')


def html_bars(values: Sequence[float], *, title: str, width: int = 320, height: int = 60) -> Html:
    """Return a histogram as SVG: a bar for each value, the highest as high as the picture."""
    top = max([*values, 0]) or 1
    step = width / max(len(values), 1)
    bars = "".join(
        f'<rect x="{place * step:.2f}" y="{height * (1 - value / top):.2f}" width="{max(step - 0.5, 0.3):.2f}" '
        f'height="{height * value / top:.2f}"/>'
        for place, value in enumerate(values)
        if value > 0
    )
    return Html(
        f'<svg role="img" width="{width}" height="{height}" fill="currentColor" opacity="0.7" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{bars}</svg>'
    )


def as_frame(table: Any) -> Any:
    """Return an Arrow table as a pandas data frame. Raises UsageError where pandas is not installed."""
    try:
        import_module("pandas")
    except ImportError:
        raise UsageError("a data frame needs pandas, which is not installed: pip install pandas") from None
    return table.to_pandas()


def _cell(value: Any) -> str:
    if isinstance(value, Html):
        return value
    return escape(f"{value:,.4g}" if isinstance(value, float) else "" if value is None else str(value))
