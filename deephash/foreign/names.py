"""Names of files as people may read them: a name is any bytes, and not all of them can be printed."""

from __future__ import annotations

from pathlib import Path


def printable(name: str | Path) -> str:
    """Return a name that any terminal, JSON or UTF-8 file takes: what is not UTF-8, and control characters, escaped."""
    text = as_utf8(str(name))
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def is_utf8(name: str) -> bool:
    """Say whether a name can be written as UTF-8, as collections and manifests keep names."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(name: str) -> str:
    """Return a name with the bytes that are not UTF-8 escaped; any other name as it is."""
    return name.encode("utf-8", "backslashreplace").decode()
