"""What a class of deephash can be told, read from its source: an option is judged in milliseconds, before torch loads.

Only classes that the packages export are known; of anybody else's nothing is said, and LightningCLI judges.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_NO_METHODS = {"AlternatingHashModel", "BatchHook", "HashModel", "HeadHashModel", "ObjectiveHashModel", "Optimizer"}


def method_names() -> list[str]:
    """Return the names of the methods' classes, as ``deephash models list`` does."""
    return sorted(name for name in exported("models") if name[0].isupper() and name not in _NO_METHODS)


@cache
def exported(package: str) -> dict[str, str]:
    """Return {name: module} of what ``deephash.models`` or ``deephash.data`` exports."""
    return _imported(_parsed(_ROOT / package / "__init__.py"))


def options_of(class_path: str, package: str) -> frozenset[str] | None:
    """Return the names that a class takes, its bases' where it hands them on; None where that cannot be told.

    Args:
        class_path: ``deephash.models.OrthoHash``, or ``OrthoHash`` alone.
        package: ``models`` or ``data``, for a name alone.
    """
    home, _, name = class_path.rpartition(".")
    module = exported(package).get(name) if home in ("", f"deephash.{package}") else home
    return None if module is None else _taken(module, name)


def fields_of(module: str, name: str) -> frozenset[str]:
    """Return the fields of a dataclass such as ``Backbone`` of ``deephash.backbones.spec``."""
    tree = _parsed(_ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return frozenset(
        node.target.id for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )


def trainer_options() -> frozenset[str] | None:
    """Return what Lightning's Trainer takes; None where it is not to be found."""
    found = find_spec("lightning")  # of a package without a dot nothing is imported
    for place in (found.submodule_search_locations or []) if found else ():
        file = Path(place) / "pytorch" / "trainer" / "trainer.py"
        if file.is_file():
            return _of_class(_parsed(file), "Trainer", "")
    return None


def derives(class_path: str, package: str, base: str) -> bool:
    """Say whether a class of deephash has a base of this name; False of classes that are not known here."""
    bases = bases_of(class_path, package)
    return any(each.rpartition(".")[2] == base or derives(each, package, base) for each in bases)


def bases_of(class_path: str, package: str) -> list[str]:
    """Return the class paths of the bases of a class of deephash; none of classes that are not known here."""
    found = class_of(class_path, package)
    if found is None:
        return []
    node, module = found
    homes = _imported(_parsed(_file_of(module)))
    return [f"{homes.get(each.id, module)}.{each.id}" for each in node.bases if isinstance(each, ast.Name)]


def class_of(class_path: str, package: str) -> tuple[ast.ClassDef, str] | None:
    """Return a class of deephash as it is written, and its module; None where it is not known here."""
    home, _, name = class_path.rpartition(".")
    module = exported(package).get(name) if home in ("", f"deephash.{package}") else home
    if module is None or not module.startswith("deephash.") or not _file_of(module).is_file():
        return None
    nodes = (node for node in _parsed(_file_of(module)).body if isinstance(node, ast.ClassDef) and node.name == name)
    found = next(nodes, None)
    return None if found is None else (found, module)


def trainer_class() -> ast.ClassDef | None:
    """Return Lightning's Trainer as it is written; None where it is not to be found."""
    found = find_spec("lightning")  # of a package without a dot nothing is imported
    for place in (found.submodule_search_locations or []) if found else ():
        file = Path(place) / "pytorch" / "trainer" / "trainer.py"
        if file.is_file():
            nodes = _parsed(file).body
            return next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == "Trainer")
    return None


def _file_of(module: str) -> Path:
    return _ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _taken(module: str, name: str) -> frozenset[str] | None:
    parts = module.split(".")
    file = _ROOT.joinpath(*parts[1:]).with_suffix(".py")
    if parts[0] != "deephash" or not file.is_file():
        return None
    return _of_class(_parsed(file), name, module)


def _of_class(tree: ast.Module, name: str, module: str) -> frozenset[str] | None:
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if found is None:
        return None
    start = next((node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    own = frozenset(part.arg for part in (*start.args.args, *start.args.kwonlyargs)) if start else frozenset[str]()
    own -= {"self"}
    if start is not None and start.args.kwarg is None:
        return own
    if not found.bases:
        return None  # a dataclass, or one that takes anything
    homes, merged = _imported(tree), own
    for base in found.bases:
        if not isinstance(base, ast.Name):
            return None
        inherited = _taken(homes.get(base.id, module), base.id)
        if inherited is None:
            return None
        merged |= inherited
    return merged


def _imported(tree: ast.Module) -> dict[str, str]:
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module)
    return {alias.asname or alias.name: str(node.module) for node in froms for alias in node.names}


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf8"))
