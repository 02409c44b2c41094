"""Where a run comes from: versions of everything it stands on, the commit and whether it was changed, the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def versions() -> dict[str, str]:
    """Return Python's version and those of deephash's own requirements, optional ones too, that are installed."""
    found = {"python": platform.python_version()}
    for name in sorted(_requirements()):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _requirements() -> set[str]:
    try:
        lines = metadata.requires("deephash") or []
    except metadata.PackageNotFoundError:  # run from a source tree that nobody installed
        lines = ["torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn", "faiss-cpu"]
    names = {match[0] for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line))}
    return names - {"deephash"}


def git_facts() -> dict[str, Any]:
    """Return ``git_commit`` and ``git_dirty`` of deephash's checkout; both None for an installed package.

    Where the working folder belongs to another repository, as that of one's own methods, it is ``working_folder``.
    """
    source = Path(__file__).resolve().parents[2]
    own = _git_state(source) if (source / ".git").exists() else None
    here = _git_state(Path.cwd())
    facts: dict[str, Any] = {name: None if own is None else own[name] for name in ("git_commit", "git_dirty")}
    if here is not None and Path(here["root"]).resolve() != source:
        facts["working_folder"] = {name: here[name] for name in ("git_commit", "git_dirty")}
    return facts


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Return root, commit and whether tracked files were changed; None outside any repository, or without git."""
    try:
        return {
            "root": _git(folder, "rev-parse", "--show-toplevel"),
            "git_commit": _git(folder, "rev-parse", "HEAD"),
            "git_dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """Return processor, cores, threads and GPU."""
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }
