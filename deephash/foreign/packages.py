"""What installed packages declare by entry points, so that it is found by name: methods and backbones.

Whoever installs a package trusts it, so its classes need no ``--trust``. Nothing is imported before somebody asks for
it by name, and a package that cannot be imported spoils nothing but its own. Folders that happen to be the working one
are no installed packages, whatever lies in them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal

from deephash.errors import UsageError

Group = Literal["deephash.methods", "deephash.backbones"]
METHODS: Group = "deephash.methods"
BACKBONES: Group = "deephash.backbones"


@dataclass(frozen=True)
class Declared:
    """One entry of a package.

    Attributes:
        name: by which people ask for it.
        path: ``MODULE.NAME`` of the class.
        package: which declares it.
        entry: the entry point.
    """

    name: str
    path: str
    package: str
    entry: EntryPoint

    def load(self) -> Any:
        """Import what is declared. Raises UsageError where that fails, naming the package."""
        try:
            return self.entry.load()
        except Exception as error:  # a package of somebody else may raise anything
            reason = " ".join(str(error).split())[:300]
            raise UsageError(
                f"the package {self.package} declares {self.name} as {self.path}, which cannot be imported: "
                f"{type(error).__name__}: {reason}; ask its authors, or: pip uninstall {self.package}"
            ) from error


def declared(group: Group) -> list[Declared]:
    """Return what installed packages declare, by name; nothing is imported."""
    here = Path.cwd().resolve()
    found: dict[tuple[str, str], Declared] = {}
    path = [each for each in sys.path if each and Path(each).resolve() != here]
    for package in distributions(path=path):
        for entry in package.entry_points.select(group=group):
            name = package.metadata["Name"] or os.path.basename(str(package))
            found.setdefault((name, entry.name), Declared(entry.name, entry.value.replace(":", "."), name, entry))
    return sorted(found.values(), key=lambda each: (each.name, each.package))


def declared_as(group: Group, names: set[str]) -> list[Declared]:
    """Return the entries, or classes, that are called one of ``names``, as people write names: plain and small."""
    return [each for each in declared(group) if {plain(each.name), plain(each.path.rpartition(".")[2])} & names]


def declared_class(group: Group, path: str) -> Any | None:
    """Return the class ``MODULE.NAME`` where an installed package declares it; None where none does.

    A class is known by where it is defined or by the path that its entry gives. Only what is declared is imported,
    never what ``path`` names.

    Raises:
        UsageError: it is declared, and its package cannot be imported.
    """
    root = path.partition(".")[0]
    for entry in (each for each in declared(group) if each.path.partition(".")[0] == root):
        found = entry.load()
        if path in (entry.path, f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"):
            return found
    return None


def plain(name: str) -> str:
    """Return ``csce_net``, ``CSCE-Net`` and ``CSCENet`` as one."""
    return name.lower().replace("_", "").replace("-", "")
