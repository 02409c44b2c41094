"""Which methods there are: classes of this package, of packages that declare them, and those that the user names.

A method of deephash enters by being a class of this package; no list is kept beside the exports.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from deephash.errors import UsageError, did_you_mean
from deephash.foreign.packages import METHODS, Declared, declared_as, declared_class, plain
from deephash.foreign.trust import is_trusted, named_object
from deephash.models.base import AlternatingHashModel, HashModel


def methods() -> dict[str, type[HashModel]]:
    """Return every method of :mod:`deephash.models` by its class name; classes defined elsewhere are none."""
    own = [cls for cls in _below(HashModel) if cls.__module__.startswith("deephash.models.")]
    found = {cls.__name__: cls for cls in own if not inspect.isabstract(cls) and not cls.__name__.startswith("_")}
    return dict(sorted(found.items(), key=lambda item: (not item[0].isupper(), item[0])))  # as __all__ is sorted


def method_named(name: str) -> type[HashModel]:
    """Return the method that a user names.

    Args:
        name: of a class of deephash, in any case and with or without marks between its words; of what an installed
            package declares; or ``MODULE.CLASS`` of a trusted module.

    Raises:
        UsageError: none is called so, with near names; several are; or it is no method.
    """
    if "." in name:
        return method_at(name, f"--method {name}")
    known = {plain(each): cls for each, cls in methods().items()}
    others = declared_as(METHODS, {plain(name)})
    own = known.get(plain(name))
    if own is not None and not others:
        return own
    if len(others) == 1 and own is None:
        return require_method(others[0].load(), others[0].path, f"the package {others[0].package}")
    if not others:
        near = did_you_mean(plain(name), list(known))
        raise UsageError(
            f"there is no method {name!r}{near}. All: deephash models list; your own: --method module.Name"
        )
    raise _several(name, own, others)


def _several(name: str, own: type[HashModel] | None, others: list[Declared]) -> UsageError:
    paths = [] if own is None else [f"deephash.models.{own.__name__} (deephash)"]
    paths += [f"{each.path} ({each.package})" for each in others]
    return UsageError(f"{len(paths)} methods are called {name!r}: {', '.join(paths)}; name the one meant by its path")


def method_at(path: str, said_by: str) -> type[HashModel]:
    """Return the method ``MODULE.CLASS``: of deephash, of a package that declares it, or of a trusted module.

    Args:
        path: of the class.
        said_by: who names it, for messages.

    Raises:
        UsageError: nobody trusts the module, which is not imported then; it has no such class; or that is no method.
    """
    module, _, name = path.rpartition(".")
    if path.startswith("deephash."):  # of which a file may name methods, and nothing else to be imported
        if not path.startswith("deephash.models.") or name not in methods():
            raise UsageError(f"{said_by} names {path}, which is not one of deephash.models. All: deephash models list")
        return methods()[name]
    if not is_trusted(module) and (found := declared_class(METHODS, path)) is not None:
        return require_method(found, path, said_by)
    return require_method(named_object(path, said_by), path, said_by)


def require_method(found: Any, path: str, said_by: str) -> type[HashModel]:
    """Return ``found`` if it is a method. Raises UsageError that says what it is instead."""
    right = "a method is a class below deephash.models.HashModel; deephash new method NAME writes one"
    if not inspect.isclass(found):
        raise UsageError(f"{said_by} names {path}, which is a {type(found).__name__} and no class; {right}")
    if not issubclass(found, HashModel):
        raise UsageError(f"{said_by} names {path}, whose class is not below HashModel; {right}")
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UsageError(f"{said_by} names {path}, which does not say yet: {lacking}; write these methods")
    return found


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
