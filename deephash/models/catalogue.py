"""Which methods there are. A method enters by being a class of this package; no list is kept beside the exports."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from deephash.models.base import AlternatingHashModel, HashModel


def methods() -> dict[str, type[HashModel]]:
    """Return every method of :mod:`deephash.models` by its class name; classes defined elsewhere are none."""
    own = [cls for cls in _below(HashModel) if cls.__module__.startswith("deephash.models.")]
    found = {cls.__name__: cls for cls in own if not inspect.isabstract(cls) and not cls.__name__.startswith("_")}
    return dict(sorted(found.items(), key=lambda item: (not item[0].isupper(), item[0])))  # as __all__ is sorted


def training_free_methods() -> dict[str, type[AlternatingHashModel]]:
    """Return the methods that ``METHOD:NETWORK`` can name, by the word before the colon."""
    return {cls.training_free: cls for cls in _shallow() if cls.training_free}


def baseline_methods() -> list[type[AlternatingHashModel]]:
    """Return the methods that stand beside others on the same features, the weakest first."""
    return sorted((cls for cls in _shallow() if cls.is_baseline), key=lambda cls: len(cls.__mro__))


def _shallow() -> list[type[AlternatingHashModel]]:
    return [cls for cls in methods().values() if issubclass(cls, AlternatingHashModel)]


def _below(cls: type[HashModel]) -> Iterator[type[HashModel]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)
