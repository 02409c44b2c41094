"""Path globs: ``**`` crosses folders, ``*`` and ``?`` do not, ``[abc]`` is one of them."""

import re

from deephash.errors import UsageError


def glob_to_regex(pattern: str) -> str:
    """Return a regular expression, valid for Python and for Rust, that a whole path must match.

    ``**/`` also matches no folder at all, so ``**/cat.jpg`` finds ``cat.jpg``.
    """
    out, place = ["^(?s:"], 0
    while place < len(pattern):
        if pattern.startswith("**/", place) and (place == 0 or pattern[place - 1] == "/"):
            out.append("(?:.*/)?")
            place += 3
        elif pattern.startswith("**", place):
            out.append(".*")
            place += 2
        elif pattern[place] == "[":
            piece, place = _character_class(pattern, place)
            out.append(piece)
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[place]) or _escaped(pattern[place]))
            place += 1
    return "".join([*out, r")\z"])


def matches_glob(path: str, pattern: str) -> bool:
    """Say whether a path with ``/`` matches; a pattern without ``/`` is compared with each part of the path."""
    if "/" not in pattern.rstrip("/"):
        parts = path.split("/")
        return any(_compiled(pattern.rstrip("/")).match(part) for part in parts)
    pattern = pattern.strip("/")
    return bool(_compiled(pattern).match(path) or _compiled(pattern + "/**").match(path))


def _compiled(pattern: str) -> "re.Pattern[str]":
    return re.compile(glob_to_regex(pattern).replace(r"\z", r"\Z"))  # Python spells the end of the text differently


def _character_class(pattern: str, start: int) -> tuple[str, int]:
    end = pattern.find("]", start + 2)
    if end < 0:
        raise UsageError(f"glob {pattern!r} opens '[' and never closes it")
    inside = pattern[start + 1 : end]
    negated = inside[0] in "!^"
    members = "".join("-" if char == "-" else _escaped(char) for char in inside[negated:])
    return f"[{'^/' if negated else ''}{members}]", end + 1


def _escaped(char: str) -> str:
    return "\\" + char if char in r"\.+*?()|[]{}^$#&-~" else char
