"""Floor 2: pictures, attributes and codes on disk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deephash.collection.collection import Collection as Collection
    from deephash.collection.filters import Filter as Filter
    from deephash.collection.parser import parse_where as parse_where
    from deephash.collection.reader import Item as Item

_HOME = {"Collection": "collection", "Filter": "filters", "Item": "reader", "parse_where": "parser"}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'deephash.collection' has no attribute {name!r}")
    return getattr(import_module(f"deephash.collection.{_HOME[name]}"), name)
