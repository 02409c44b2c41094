"""A change that a visitor made to a collection, and who may make one."""

from __future__ import annotations

from dataclasses import dataclass

from deephash.errors import UsageError

from .workspace import Place, Workspace


@dataclass(frozen=True)
class Change:
    """One change that can be taken back.

    Attributes:
        name: the collection.
        kind: what was done.
        ids: of the rows that were changed.
        before: version before the change.
        after: version after it.
        skipped: (file name, reason) of uploads that were not taken.
        tag: what was given to the rows, where that was done.
    """

    name: str
    kind: str
    ids: tuple[int, ...]
    before: int
    after: int
    skipped: tuple[tuple[str, str], ...] = ()
    tag: str = ""

    def __str__(self) -> str:
        count = f"{len(self.ids)} picture{'s' * (len(self.ids) != 1)}"
        left_out = "".join(f" Left out: {name} ({reason})." for name, reason in self.skipped)
        if self.kind == "tag":
            return f"Tagged {count} “{self.tag}”."
        return f"{'Added' if self.kind == 'add' else 'Removed'} {count}.{left_out}"


def changeable(workspace: Workspace, name: str) -> Place:
    """Return a collection that may be changed. Raises UsageError where the server is read-only."""
    if workspace.read_only:
        raise UsageError("this server is read-only; nothing can be added, removed or tagged")
    return workspace.place(name)
