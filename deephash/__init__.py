"""deephash: deep hashing for image and cross-modal retrieval.

The public names below are loaded when first used, so that ``import deephash`` costs nothing and never imports torch.
"""

from typing import TYPE_CHECKING

from deephash.lazily import lazily
from deephash.version import __version__

if TYPE_CHECKING:
    from deephash.codes import BinaryCodes as BinaryCodes
    from deephash.collection import Collection as Collection
    from deephash.foreign import trust as trust
    from deephash.index import open_index as open_index
    from deephash.ingest import index_folder as index_folder
    from deephash.models import load_model as load_model
    from deephash.scoring import evaluate as evaluate
    from deephash.search import Hit as Hit
    from deephash.search import Searcher as Searcher

_HOME = {
    "BinaryCodes": "codes",
    "Collection": "collection",
    "Hit": "search",
    "Searcher": "search",
    "evaluate": "scoring",
    "index_folder": "ingest",
    "load_model": "models",
    "open_index": "index",
    "trust": "foreign",
}

__all__ = ["__version__", *_HOME]
__getattr__, __dir__ = lazily(__name__, _HOME)
