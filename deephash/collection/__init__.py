"""Floor 2: pictures, attributes and codes on disk."""

from typing import TYPE_CHECKING

from deephash.lazily import lazily

if TYPE_CHECKING:
    from deephash.collection.collection import Collection as Collection
    from deephash.collection.filters import Filter as Filter
    from deephash.collection.parser import parse_where as parse_where
    from deephash.collection.reader import Item as Item

_HOME = {"Collection": "collection", "Filter": "filters", "Item": "reader", "parse_where": "parser"}
__all__ = list(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)
