"""Put a measured table into a page, between its two markers, so that nobody types figures."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- measured: written by the command above, not by hand -->", "<!-- end of measured -->"


def write_measured(page: Path, text: str) -> None:
    """Replace what stands between the markers of ``page``. Raises ValueError where they are missing."""
    before, begin, rest = page.read_text(encoding="utf8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf8")
