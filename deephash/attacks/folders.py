"""A folder of work that can be gone on with: what was asked lies in it, and another question is not mixed into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deephash.collection.card import replace_file
from deephash.errors import DataError, UsageError
from deephash.foreign import read_json, refused_as


def begin_folder(path: Path, settings: Mapping[str, Any], name: str, what: str) -> None:
    """Begin a folder, or go on with one that was begun with the same settings.

    Args:
        path: the folder; made where it is missing.
        settings: what everything in it depends on, as JSON values.
        name: of the file that keeps them.
        what: it holds, for messages, such as ``attack``.

    Raises:
        UsageError: it holds something else, or was begun with other settings.
        DataError: its settings cannot be read.
    """
    wanted, file = json.loads(json.dumps(dict(settings))), path / name
    if file.is_file():
        with refused_as(DataError, f"remove {path}, or give another --out"):
            found = read_json(file, None)
        differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
        if differing:
            raise UsageError(
                f"{path} was begun with other settings ({', '.join(differing)}); give another --out, or the same "
                "options to go on with it"
            )
        return
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give a folder as --out")
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty and holds no {what}; give another --out")
    path.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
