"""Where visitors' files lie, and which of the paths that a request names may be opened."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

FILE_ROUTE = "/gradio_api/file="
DEEPEST = 32  # levels of a payload; the page sends three


class Uploads:
    """The folder that takes uploads, and the one judgement whether a path lies there.

    Args:
        folder: absolute; Gradio writes every upload below it, under a name made of its content.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @classmethod
    def of_this_process(cls) -> Uploads:
        """Return the uploads of this process, and tell Gradio to keep its files there and nowhere else."""
        return cls(_private_folder())

    def accepted(self, path: object) -> Path | None:
        """Return the resolved path of an upload; None for anything else. Opens nothing.

        An upload is a regular file that lies, symbolic links resolved, below the folder.
        """
        if not isinstance(path, str) or "\0" in path or not os.path.isabs(path):
            return None
        if not Path(os.path.normpath(path)).is_relative_to(self.folder):  # not even looked at
            return None
        try:
            real = Path(path).resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError, ValueError):  # gone, a loop of links, not encodable
            return None
        return real if regular and real.is_relative_to(self.folder) else None

    def stranger(self, payload: Any) -> str | None:
        """Return the first file that a payload names and that is no upload of ours, or None.

        However deep, and in whatever shape: an object with a ``path`` names a file, one with a ``url`` an address. An
        address must be that of an upload, too: nothing is fetched.
        """
        for named in _objects(payload):
            if "path" in named and self.accepted(named["path"]) is None:
                return str(named["path"])
            url = named.get("url")
            if url is not None and self._of_url(url) is None:
                return str(url)
        return None

    def _of_url(self, url: object) -> Path | None:
        if not isinstance(url, str):
            return None
        try:
            path = urlsplit(url).path
        except ValueError:
            return None
        return self.accepted(unquote(path.removeprefix(FILE_ROUTE))) if path.startswith(FILE_ROUTE) else None


class TooDeep(ValueError):
    """A payload of more than :data:`DEEPEST` levels."""


def _objects(payload: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object of a payload, without recursion."""
    left = [(payload, 0)]
    while left:
        value, depth = left.pop()
        if depth > DEEPEST:
            raise TooDeep
        if isinstance(value, dict):
            yield value
            left += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]


@cache
def _private_folder() -> Path:
    """Make a folder that only this process's user reads; Gradio's own default is one for all its servers."""
    base = os.environ.get("GRADIO_TEMP_DIR") or None
    if base is not None:
        Path(base).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="deephash-uploads-", dir=base)).resolve()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker ends without taking the files of the server along
        shutil.rmtree(folder, ignore_errors=True)
