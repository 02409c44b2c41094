"""What visitors read instead of the names of columns, and values with their units."""

from __future__ import annotations

from datetime import datetime
from typing import Any

NAMES = {
    "label": "Class",
    "mtime": "Changed",
    "path": "File",
    "size": "File size",
    "uri": "File",
}
IN_BYTES = frozenset({"size", "bytes", "file_size", "filesize"})
IN_PIXELS = frozenset({"width", "height"})
LONGEST = 120  # characters of a value on a card


def plain_name(attribute: str) -> str:
    """Return what people call an attribute: ``taken_at`` is "Taken", ``file_size`` "File size"."""
    words = attribute.replace("_", " ").strip()
    for ending in (" at", " on"):
        words = words.removesuffix(ending)
    return NAMES.get(attribute) or words[:1].upper() + words[1:] or attribute


def unit_of(attribute: str) -> str:
    """Return what the numbers of an attribute count: ``bytes``, ``pixels``, or nothing that is known."""
    if attribute in IN_BYTES or attribute.endswith("_bytes"):
        return "bytes"
    return "pixels" if attribute in IN_PIXELS else ""


def plain_value(attribute: str, value: Any) -> str:
    """Return a value as it stands on a card."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
    if isinstance(value, bool):
        return "yes" if value else "no"
    unit = unit_of(attribute)
    if unit == "bytes" and isinstance(value, int | float):
        return in_bytes(value)
    said = f"{value:g}" if isinstance(value, float) else str(value)
    said = f"{said} px" if unit == "pixels" else said
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def in_bytes(count: float) -> str:
    """Return a number of bytes as people say it: ``820 B``, ``12 kB``, ``3.4 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count:.0f} B"
