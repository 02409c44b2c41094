"""What scripts of the page send, and the scripts themselves. Anybody can send anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from deephash.errors import UsageError

from .numbers import LARGEST, as_written
from .uploads import Uploads

HERE = Path(__file__).parent


def uploaded_path(payload: Any) -> str | None:
    """Return the path of an uploaded file as it came: decoding it, within limits, is our own business.

    Takes the place of ``gr.Image.preprocess``, which decodes. (A subclass would have to ship its own script.)
    """
    return None if payload is None else payload.path


def sent(event: gr.EventData, name: str) -> Any:
    """Return what a script of the page sent with an event under a name, or None; anybody can send anything."""
    return event._data.get(name) if isinstance(event._data, dict) else None


def number(event: gr.EventData, name: str, smallest: int = 0, largest: int = LARGEST) -> int:
    """Return a whole number that was sent with an event. Raises UsageError for anything else."""
    return as_written(sent(event, name), name, smallest, largest)


def given_files(event: gr.EventData) -> list[tuple[str, str]]:
    """Return (name, path) of the uploads that came with an event. Raises UsageError for what is no upload of ours."""
    files, uploads = sent(event, "files"), Uploads.of_this_process()
    found = []
    for file in files if isinstance(files, list) else []:
        path = uploads.accepted(file.get("path")) if isinstance(file, dict) else None
        if path is None:
            raise UsageError("that file did not arrive; give it again")
        found.append((str(file.get("name") or path.name)[:200], str(path)))
    return found


def markup(name: str) -> str:
    """Return a piece of the page that never changes."""
    return (HERE / f"{name}.html").read_text(encoding="utf8")


def script(*names: str) -> str:
    """Return scripts of the page as one, able to keep the focus where it was."""
    return "".join((HERE / f"{part}.js").read_text(encoding="utf8") for part in ("focus", *names))
