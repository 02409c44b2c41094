"""Modules in the working folder, found for whom they are meant: the user who named one, and files that lie beside it.

The folder is not put on the search path, for then any library that tries an optional import would find a file of that
name in it, which may have come with a download. Whatever is installed is found first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType


class Beside:
    """A finder of ``sys.meta_path`` for one folder.

    Args:
        folder: where modules lie.
        is_named: says of a module whether the user named it.
    """

    def __init__(self, folder: Path, is_named: Callable[[str], bool]) -> None:
        self.folder, self._is_named = folder.resolve(), is_named

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that was named, or that a file of the folder imports; parts of a package are not asked here."""
        if path is not None or not (self._is_named(name) or self._asked_from_here()):
            return None
        return PathFinder.find_spec(name, [str(self.folder)])

    def _asked_from_here(self) -> bool:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        return frame is not None and Path(frame.f_code.co_filename).resolve().is_relative_to(self.folder)


def search(folder: Path, is_named: Callable[[str], bool]) -> None:
    """Let modules of a folder be found from now on; of several folders the latest is asked first."""
    if not any(isinstance(each, Beside) and each.folder == folder.resolve() for each in sys.meta_path):
        first = next((row for row, each in enumerate(sys.meta_path) if isinstance(each, Beside)), len(sys.meta_path))
        sys.meta_path.insert(first, Beside(folder, is_named))
