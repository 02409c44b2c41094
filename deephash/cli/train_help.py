"""``deephash train --help`` with a method or a configuration: what the classes it names can be told, without torch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from deephash.cli.train_checks import chosen_class, method_class
from deephash.errors import UsageError, did_you_mean
from deephash.foreign.packages import plain
from deephash.training.configurations import find_config, read_settings
from deephash.training.option_tree import Option, data_options, lightning_options, model_options
from deephash.training.signatures import class_of, exported, fields_of, method_names

WIDTH = 120
_PARTS = {
    "Backbone": ("deephash.backbones.spec", "Backbone"),
    "Optimizer": ("deephash.models.optimizers", "Optimizer"),
}


def option_tree(words: Sequence[str]) -> str | None:
    """Return the options of the classes that the words name; None where they name none.

    Raises:
        UsageError: a configuration or a class that does not exist.
    """
    settings = [read_settings(find_config(name)) for name in _values(words, ("--config", "-c"))]
    model, data = (chosen_class(kind, settings, words) for kind in ("model", "data"))
    for name in _values(words, ("--method",)):
        model = method_class(name) or name
    trainer = any(word.partition("=")[0] == "--trainer" for word in words)
    parts = []
    if model is not None:
        known = {plain(name): name for name in method_names()}
        model = known.get(plain(model), model)
        parts.append(_section("model", model, "models", model_options(model), _given(settings, "model")))
    if data is not None:
        parts.append(_section("data", data, "data", data_options(data), _given(settings, "data")))
    if trainer or settings:
        lines = _lines("--trainer.", lightning_options(), _merged(settings, "trainer"))
        parts.append("\n".join(["trainer: lightning.Trainer", *lines]))
    return "\n\n".join(parts) or None


def _section(top: str, path: str, package: str, options: list[Option], given: Mapping[str, Any]) -> str:
    if not options and class_of(path, package) is None:
        if "." not in path:
            names = method_names() if top == "model" else [name for name in exported(package) if name[0].isupper()]
            raise UsageError(f"there is no {top} {path!r}{did_you_mean(path, names)}")
        return f"{top}: {path}\n  not of deephash: its own source says what it takes"
    return "\n".join([f"{top}: {path}", *_lines(f"--{top}.init_args.", options, given)])


def _lines(prefix: str, options: list[Option], given: Mapping[str, Any]) -> list[str]:
    lines = []
    for each in options:
        value = f"{given[each.name]!r} here" if each.name in given else each.default or "required"
        lines.append(f"  {prefix}{each.name}  ({' '.join(each.kind.split())}) = {' '.join(value.split())}")
        lines += textwrap.wrap(each.about, WIDTH, initial_indent="      ", subsequent_indent="      ")
        part = next((place for name, place in _PARTS.items() if each.kind.startswith(name)), None)
        if part is not None:
            fields = ", ".join(f".{name}" for name in sorted(fields_of(*part)))
            lines += textwrap.wrap(f"with {fields}", WIDTH, initial_indent="      ", subsequent_indent="      ")
    return lines


def _given(settings: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    return {
        name: value
        for content in settings
        if isinstance(content.get(kind), dict)
        for name, value in (content[kind].get("init_args") or {}).items()
    }


def _merged(settings: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    return {name: value for content in settings for name, value in (content.get(kind) or {}).items()}


def _values(words: Sequence[str], names: Sequence[str]) -> list[str]:
    found = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            found += [value] if equals else list(words[place + 1 : place + 2])
    return found
