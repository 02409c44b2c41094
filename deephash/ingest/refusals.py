"""Files that no picture could be read from, remembered so that they are not decoded at each update.

``skipped.csv`` of a collection lists what was left out; a file whose *content* is to blame stands there with its size
and time and with the version of what tried to read it, and is looked at anew when any of them has changed. Reasons that
pass by themselves, such as a disk error or too little memory, are not remembered.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from PIL import __version__ as _PILLOW

from deephash.collection.card import replace_file
from deephash.collection.folder import FolderPlan, FoundFile, Skipped
from deephash.foreign.files import MIB, Unfit, read_bytes
from deephash.pictures.decode_budget import decode_limit
from deephash.version import __version__

SKIPPED = "skipped.csv"
_HEAD = ("path", "reason", "size", "modified", "read_by")
_LONGEST = 256 * MIB


class Refusal(NamedTuple):
    """A file that was tried in vain, by whom, and how it looked then."""

    reason: str
    size: str
    modified: str
    read_by: str


Refusals = Mapping[str, Refusal]


def refusal(file: FoundFile, reason: str) -> Refusal:
    """Return what is to be remembered of a file whose content was refused just now."""
    return Refusal(reason, str(file.size), file.mtime.isoformat(), _reader())


def read_refusals(collection: Path) -> dict[str, Refusal]:
    """Return the refusals of the last updates by uri; none where the list is missing, old or damaged."""
    try:
        text = read_bytes(collection / SKIPPED, _LONGEST).decode("utf-8", "surrogateescape")
        lines = list(csv.reader(io.StringIO(text)))
    except (Unfit, csv.Error):
        return {}  # nothing is lost by trying once more
    return {path: Refusal(*rest) for path, *rest in lines[1:] if len(rest) == len(Refusal._fields) and rest[-1]}


def without_refused(plan: FolderPlan, known: Refusals) -> tuple[FolderPlan, dict[str, Refusal]]:
    """Return the plan without files that were refused and have not changed since, and those files."""
    found = (file for file in (*plan.new, *(file for file, _ in plan.suspects)) if file.uri in known)
    again = {file.uri: was for file in found if (was := known[file.uri]) == refusal(file, was.reason)}
    new = [file for file in plan.new if file.uri not in again]
    suspects = [(file, row) for file, row in plan.suspects if file.uri not in again]
    return replace(plan, new=new, suspects=suspects), again


def write_skipped(collection: Path, skipped: Sequence[Skipped], refusals: Refusals) -> None:
    """List what was left out: ``skipped`` in this run, and ``refusals``, some of which lie where it did not look."""
    listed = {path for path, _ in skipped}
    rows = [(path, reason, *(refusals[path][1:] if path in refusals else ("",) * 3)) for path, reason in skipped]
    rows += [(path, *each) for path, each in refusals.items() if path not in listed]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEAD, *rows])
    content = text.getvalue()
    try:
        unchanged = read_bytes(collection / SKIPPED, _LONGEST) == content.encode()
    except Unfit:
        unchanged = False
    if not unchanged:  # a read-only or synchronised disk sees no write without a reason
        replace_file(collection / SKIPPED, content)


def _reader() -> str:
    return f"deephash {__version__}, Pillow {_PILLOW}, {decode_limit() // MIB} MiB"
