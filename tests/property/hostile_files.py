"""What may stand where a file should: pipes, devices, links, sockets, nothing."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path, random.Random], None]


def other_kinds() -> dict[str, Callable[[Path], None]]:
    """Return {name: function that makes it at a path}."""

    def unix_socket(path: Path) -> None:
        here = os.getcwd()
        os.chdir(path.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)

    return {
        "fifo": os.mkfifo,
        "folder": Path.mkdir,
        "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "/dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "dangling link": lambda path: path.symlink_to("nowhere"),
        "empty": lambda path: path.write_bytes(b"") and None,
        "socket": unix_socket,
        "gone": lambda path: None,
    }


def replace_file(file: str, make: Callable[[Path], None]) -> Change:
    """Put another kind of file in its place."""

    def change(folder: Path, draw: random.Random) -> None:
        path = folder / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return change
