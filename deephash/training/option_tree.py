"""The options of a method, a data set and the trainer with their types and defaults, read from source: no torch."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from deephash.training.signatures import bases_of, class_of, trainer_class

Setting = dict[str, Any]
_ARGUMENT = re.compile(r"^\s{4}(\w+): (.*?)(?=^\s{4}\w+: |^\s{0,3}\S|\Z)", re.M | re.S)


@dataclass(frozen=True)
class Option:
    """One argument.

    Attributes:
        name: of the argument.
        kind: its annotation, as written.
        default: as written; empty where it must be given.
        about: the first sentence of its description; empty where there is none.
    """

    name: str
    kind: str
    default: str
    about: str


def model_options(class_path: str) -> list[Option]:
    """Return the arguments of a method; an empty list of classes that are not deephash's."""
    return _options(class_path, "models")


def data_options(class_path: str) -> list[Option]:
    """Likewise of a data set."""
    return _options(class_path, "data")


def lightning_options() -> list[Option]:
    """Return the arguments of Lightning's Trainer; an empty list where it is not installed."""
    found = trainer_class()
    return [] if found is None else list(_own(found).values())


def _options(class_path: str, package: str) -> list[Option]:
    merged: dict[str, Option] = {}
    known: dict[str, str] = {}  # what bases say of arguments that are handed on
    found = class_of(class_path, package)
    if found is None:
        return []
    own = _own(found[0])
    start = _start(found[0])
    for base in bases_of(class_path, package):
        inherited = {each.name: each for each in _options(base, package)}
        known |= {name: each.about for name, each in inherited.items() if each.about}
        if start is None or start.args.kwarg is not None:
            merged |= inherited
    merged |= own
    return [
        Option(each.name, each.kind, each.default, _said(each.about, known.get(each.name, "")))
        for each in merged.values()
    ]


def _start(found: ast.ClassDef) -> ast.FunctionDef | None:
    starts = (node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return next(starts, None)


def _own(found: ast.ClassDef) -> dict[str, Option]:
    start = _start(found)
    if start is None:
        return {}
    said = "\n".join(ast.get_docstring(node) or "" for node in (found, start))
    about = {name: _first_sentence(text) for name, text in _ARGUMENT.findall(said)}
    plain = start.args.args[1:]
    defaults = [None] * (len(plain) - len(start.args.defaults)) + list(start.args.defaults)
    pairs = [*zip(plain, defaults, strict=False), *zip(start.args.kwonlyargs, start.args.kw_defaults, strict=True)]
    return {
        each.arg: Option(
            each.arg,
            ast.unparse(each.annotation) if each.annotation else "",
            ast.unparse(default) if default else "",
            about.get(each.arg, ""),
        )
        for each, default in pairs
    }


def _said(own: str, of_base: str) -> str:
    """Return what a class says of an argument, or what its base says where it only points there."""
    return of_base if of_base and (not own or own.startswith("see ")) else own


def _first_sentence(text: str) -> str:
    joined = " ".join(text.split())
    return (
        re.split(r"(?<=[.;]) ", joined)[0].rstrip(".;").replace("``", "").replace(":class:", "").replace(":func:", "")
    )
