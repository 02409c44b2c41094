"""Which methods there are. A method enters by being a class of this package; no list is kept beside the exports."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from deephash.errors import UsageError, did_you_mean
from deephash.models.base import AlternatingHashModel, HashModel


def methods() -> dict[str, type[HashModel]]:
    """Return every method of :mod:`deephash.models` by its class name; classes defined elsewhere are none."""
    own = [cls for cls in _below(HashModel) if cls.__module__.startswith("deephash.models.")]
    found = {cls.__name__: cls for cls in own if not inspect.isabstract(cls) and not cls.__name__.startswith("_")}
    return dict(sorted(found.items(), key=lambda item: (not item[0].isupper(), item[0])))  # as __all__ is sorted


def method_named(name: str) -> type[HashModel]:
    """Return a method by the name of its class, in any case and with or without marks between its words.

    Raises:
        UsageError: none is called so, with near names.
    """
    known = {_plain(each): cls for each, cls in methods().items()}
    if _plain(name) not in known:
        near = did_you_mean(_plain(name), list(known))
        raise UsageError(f"there is no method {name!r}{near}. All: deephash models list")
    return known[_plain(name)]


def _plain(name: str) -> str:
    """Return ``csce_net``, ``CSCE-Net`` and ``CSCENet`` as one."""
    return name.lower().replace("_", "").replace("-", "")


def training_free_methods() -> dict[str, type[AlternatingHashModel]]:
    """Return the methods that ``METHOD:NETWORK`` can name, by the word before the colon."""
    own = ((vars(cls).get("training_free"), cls) for cls in _shallow())  # a method below another is not it by that
    return {name: cls for name, cls in own if name}


def baseline_methods() -> list[type[AlternatingHashModel]]:
    """Return the methods that stand beside others on the same features, the weakest first."""
    return sorted((cls for cls in _shallow() if cls.is_baseline), key=lambda cls: len(cls.__mro__))


def _shallow() -> list[type[AlternatingHashModel]]:
    return [cls for cls in methods().values() if issubclass(cls, AlternatingHashModel)]


def _below(cls: type[Any]) -> Iterator[type[HashModel]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)
