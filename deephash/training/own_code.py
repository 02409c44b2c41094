"""Whose code a run would import: what the command line names is trusted, what a configuration names must be.

A word that somebody types is theirs; a file may be anybody's. So ``--method mymethod.MyHash`` needs no more, and a
configuration that names ``mymethod.MyHash`` needs ``--trust mymethod`` beside it. Lightning and its family are
installed, and are what configurations are made of. Nothing is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deephash.errors import UsageError
from deephash.foreign.packages import BACKBONES, METHODS, declared
from deephash.foreign.trust import is_trusted, trust, untrusted

_INSTALLED = ("lightning", "pytorch_lightning", "torch", "torchvision", "torchmetrics")
_CLASSES = ("model", "data", "callbacks", "logger")  # keys whose bare string names a class
_OBJECTS = ("accelerator", "strategy", "plugins", "profiler", "precision")  # of the Trainer, that a path may stand for
_PARTS = (*_CLASSES, "trainer", "init_args", "class_path")  # and those whose bare string LightningCLI reads as a file


def trust_words(words: Sequence[str], method: str | None = None) -> None:
    """Trust the modules of classes that the command line names: ``--model mymethod.MyHash``, ``--backbone mynet.Net``.

    Args:
        words: paths into the configuration.
        method: what ``--method`` says.
    """
    named = [path for _, path in named_in_words(words)] + ([] if method is None else [method])
    trust(*dict.fromkeys(path.rpartition(".")[0] for path in named if _is_path(path) and is_own(path)))


def require_trusted(settings: Any, source: object) -> None:
    """Raise UsageError where a configuration names a class of a module that the user did not name.

    Or another configuration in the place of a class, which could.
    """
    for key, value in _strings(settings):
        if key.rpartition(".")[2] in _PARTS and value.endswith((".yaml", ".yml", ".json")):
            raise UsageError(f"{source}: {key} is another file; give both: --config {source} --config {value}")
    for key, path in _strings(settings):
        if key.startswith("trainer.") and not _names_a_class(key) and _is_path(path):
            _require_harmless(key, path, source)
    own = [path for _, path in named_classes(settings) if is_own(path)]
    ready = {each.path for group in (METHODS, BACKBONES) for each in declared(group)} if own else set()
    for path in own:
        if path not in ready:
            raise untrusted(path, str(source))


def _require_harmless(key: str, path: str, source: object) -> None:
    """Refuse what the Trainer's parser would import, or call: it does so with any word that could be an import."""
    known = path.partition(".")[0] in _INSTALLED
    if known and key.rpartition(".")[2] not in _OBJECTS:
        raise UsageError(f"{source}: {key} names {path} to be called, which a file does not decide; write a callback")
    if not known and is_own(path) and _is_there(path.partition(".")[0]):
        raise untrusted(path, str(source))


def _is_there(root: str) -> bool:
    """Say whether a module of that name could be imported; the working folder counts."""
    return root in sys.modules or find_spec(root) is not None or Path(f"{root}.py").is_file()


def is_own(path: str) -> bool:
    """Say whether a class is neither of deephash, nor of a trusted module, nor of Lightning and its family."""
    return not is_trusted(path.rpartition(".")[0]) and path.partition(".")[0] not in _INSTALLED


# What is named -------------------------------------------------------------------------------------


def named_classes(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, path) of what a configuration names to be imported: classes, and backbones that are paths."""
    return ((name, value) for name, value in _strings(settings, key) if _names_a_class(name) and _is_path(value))


def _strings(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, value) of all strings, at any depth."""
    if isinstance(settings, Mapping):
        for inner, value in settings.items():
            yield from _strings(value, f"{key}.{inner}" if key else str(inner))
    elif isinstance(settings, (list, tuple)):
        for each in settings:
            yield from _strings(each, key)
    elif isinstance(settings, str):
        yield key, settings


def named_in_words(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the same of paths into the configuration on the command line."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            given = value if equals else next(iter(words[place + 1 : place + 2]), "")
            yield from named_classes(given, name.removeprefix("--").rstrip("+"))


def _names_a_class(key: str) -> bool:
    before, _, last = key.rpartition(".")
    return last == "class_path" or last in _CLASSES or (last == "name" and "backbone" in before)


def _is_path(text: str) -> bool:
    parts = text.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)
