"""deephash: deep hashing for image and cross-modal retrieval.

The public names below are loaded when first used, so that ``import deephash`` costs nothing and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deephash.version import __version__

if TYPE_CHECKING:
    from deephash.codes import BinaryCodes as BinaryCodes
    from deephash.collection import Collection as Collection
    from deephash.index import open_index as open_index
    from deephash.ingest import index_folder as index_folder
    from deephash.models import load_model as load_model
    from deephash.scoring import evaluate as evaluate
    from deephash.search import Hit as Hit
    from deephash.search import Searcher as Searcher

_HOME = {
    "BinaryCodes": "deephash.codes",
    "Collection": "deephash.collection",
    "Hit": "deephash.search",
    "Searcher": "deephash.search",
    "evaluate": "deephash.scoring",
    "index_folder": "deephash.ingest",
    "load_model": "deephash.models",
    "open_index": "deephash.index",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'deephash' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
