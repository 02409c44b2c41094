"""Whose code may run: deephash's, that of packages which declare themselves, and modules that the user names.

A file never decides it. A model folder, a collection, a run or a configuration may *name* a class of one's own; the
module behind it is imported only where the user named it too, by ``--trust mymethod`` or
``deephash.trust("mymethod")``. A module is trusted with all that lies below it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from deephash.errors import UsageError, did_you_mean
from deephash.foreign.beside import search

TRUST = "DEEPHASH_TRUST"  # what --trust sets, module names apart by commas; processes that are started inherit it
_meanwhile: ContextVar[tuple[str, ...]] = ContextVar("trusted meanwhile", default=())


# Who is trusted ------------------------------------------------------------------------------------


def trust(*modules: str) -> None:
    """Let classes of these modules be loaded by name, until the process ends.

    Raises:
        UsageError: what is no name of a module.
    """
    for name in modules:
        _require_name(name)
    os.environ[TRUST] = ",".join([*trusted(), *(name for name in dict.fromkeys(modules) if not is_trusted(name))])


@contextmanager
def trusting(modules: Iterable[str]) -> Iterator[None]:
    """Let classes of these modules be loaded by name meanwhile."""
    given = tuple(modules)
    for name in given:
        _require_name(name)
    token = _meanwhile.set((*_meanwhile.get(), *given))
    try:
        yield
    finally:
        _meanwhile.reset(token)


def is_trusted(module: str) -> bool:
    """Say whether the user named this module or one above it; those of deephash are."""
    return any(module == name or module.startswith(f"{name}.") for name in ("deephash", *trusted(), *_meanwhile.get()))


def _is_root(module: str) -> bool:
    """Say whether the user named this module, or one below it, which has to be reached through it."""
    named = ("deephash", *trusted(), *_meanwhile.get())
    return any(f"{name}.".startswith(f"{module}.") for name in named)


def trusted() -> list[str]:
    """Return the modules that the user named for the whole process."""
    return [name for name in os.environ.get(TRUST, "").split(",") if name]


def _require_name(name: object) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"a module is trusted by its name, such as mymethod or mypackage.methods, not {name!r:.100}")


# From a name to what it names ----------------------------------------------------------------------


def named_object(path: str, said_by: str) -> Any:
    """Return what ``MODULE.NAME`` names.

    Args:
        path: such as ``mymethod.MyHash``.
        said_by: who names it, for messages: a file, or an option.

    Raises:
        UsageError: the module is not trusted, and is not imported then; it is not there; it cannot be imported; or it
            has no such name.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise UsageError(f"{said_by} names {path!r}, which has no module before a dot, as mymethod.MyHash has")
    if not is_trusted(module):
        raise untrusted(path, said_by)
    return attribute_of(imported(module, said_by), name, said_by)


def path_of(cls: type[Any], home: str) -> str:
    """Return by what name a file knows a class: its own in the package ``home`` of deephash, else with its module.

    A class inside a function or another class cannot be found again, and goes by its own name too.
    """
    known = cls.__module__ == home or cls.__module__.startswith(f"{home}.")
    return cls.__name__ if known or "." in cls.__qualname__ else f"{cls.__module__}.{cls.__name__}"


def untrusted(path: str, said_by: str) -> UsageError:
    """Return the error for a class of a module that nobody named; it says what would be run, and how to allow it."""
    module = path.rpartition(".")[0]
    return UsageError(
        f"{said_by} names {path}, which is not one of deephash or of a package that declares it; to use it, the module "
        f"{module} would be run, and a file does not decide that. If you know that code, say so: --trust {module} (in "
        f"Python: deephash.trust({module!r}))"
    )


def attribute_of(module: ModuleType, name: str, said_by: str) -> Any:
    """Return what a module calls ``name``. Raises UsageError with names that are near."""
    if not hasattr(module, name):
        own = [each for each, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise UsageError(
            f"{said_by} names {module.__name__}.{name}, and {_place(module)} has no {name!r}{did_you_mean(name, own)}"
        )
    return getattr(module, name)


def imported(module: str, said_by: str) -> ModuleType:
    """Import a trusted module, from the working folder too. Raises UsageError where it cannot be imported."""
    if module in sys.modules:
        return sys.modules[module]
    _reach(module.partition(".")[0], said_by)
    try:
        return import_module(module)
    except Exception as error:  # a user's own code may raise anything
        raise UsageError(f"{said_by} names the module {module}, which cannot be imported: {_reason(error)}") from error


def _reach(root: str, said_by: str) -> None:
    """Let the working folder be searched where ``root`` lies in it and nowhere else.

    Raises:
        UsageError: it is nowhere, or another module of that name comes first.
    """
    if root in sys.modules:
        return
    here, found = Path.cwd(), find_spec(root)
    file = here / f"{root}.py"
    if found is None and (file.is_file() or (here / root).is_dir()):
        search(here, _is_root)
    elif found is None:
        near = sorted(each.stem for each in here.glob("*.py"))
        raise UsageError(
            f"{said_by} names the module {root}, which is neither {root}.py in {here} nor installed"
            + (did_you_mean(root, near) if near else "; go into the folder that holds it")
        )
    elif file.is_file() and found.origin and not Path(found.origin).resolve().is_relative_to(here.resolve()):
        raise UsageError(
            f"{said_by} names the module {root}: {file} is hidden by another module of that name, {found.origin}; "
            "rename your file"
        )


def _place(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or module.__name__)


def _reason(error: Exception) -> str:
    where = f" (line {error.lineno} of {error.filename})" if isinstance(error, SyntaxError) else ""
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{where}"
