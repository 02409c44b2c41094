"""Which optional engines are installed, found out without importing them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from deephash.errors import UsageError


def has_numba() -> bool:
    """Say whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


def is_loaded() -> bool:
    """Say whether Numba was imported already; that takes as long as a pass over a few million codes."""
    return "numba" in sys.modules


def has_faiss() -> bool:
    """Say whether Faiss is installed."""
    return importlib.util.find_spec("faiss") is not None


def faiss_module() -> ModuleType:
    """Import Faiss. Raises UsageError with the command that installs it."""
    try:
        import faiss
    except ImportError as error:
        raise UsageError(
            f"this needs Faiss, which cannot be imported here ({error}): pip install faiss-cpu. Without it the exact "
            "scan answers: index kind 'scan' (pip install numba)"
        ) from None
    module: ModuleType = faiss
    return module
