"""Mistakes at ``deephash train`` that can be told before torch is imported: names, paths into the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from deephash.cli.networks import require_network
from deephash.errors import DatasetNotFound, UsageError, did_you_mean
from deephash.foreign.packages import METHODS, declared_as, plain
from deephash.training.configurations import find_config, read_settings
from deephash.training.options import TrainOptions, without_gradients
from deephash.training.own_code import require_trusted, trust_words
from deephash.training.signatures import derives, fields_of, method_names, options_of, trainer_options

_TOPS = ("model", "data", "trainer", "seed_everything", "optimizer", "lr_scheduler", "config", "print_config")
_INSIDE = ("class_path", "init_args", "dict_kwargs", "help")
_FRIENDLY = ("config", "method", "bits", "seed", "seeds", "epochs", "backbone", "weights", "defence", "start-from",
             "stream", "task", "continue-from", "replay", "compatible", "from-scratch", "reserve", "targets", "out",
             "batch-size", "accumulate", "precision", "ema", "compile", "logger",
             "resume", "fast-dev-run", "json", "print-config", "list")  # fmt: skip
_PARTS = {"backbone": ("deephash.backbones.spec", "Backbone"), "optimizer": ("deephash.models.optimizers", "Optimizer")}
_NEAR = 0.75  # how alike two names are, of 1, before one is suggested for the other


def check_early(options: TrainOptions) -> None:
    """Refuse what cannot be meant. What is not known here is left to LightningCLI, which imports the classes.

    Raises:
        UsageError: a configuration, a method or an option that does not exist.
        DatasetNotFound: a folder of pictures that is not there.
    """
    settings = [read_settings(find_config(name)) for name in options.configs]
    _require_trusted(options, settings)
    model, data = (chosen_class(kind, settings, options.rest) for kind in ("model", "data"))
    if options.method is not None:
        model = method_class(options.method)
    if options.by_gradients and model is not None and derives(model, "models", "AlternatingHashModel"):
        raise without_gradients(model.rpartition(".")[2], options.by_gradients)
    places = _Places(model, data)
    for word in options.rest:
        if word.startswith("--"):
            places.check(word[2:].partition("=")[0].rstrip("+"))
    _require_networks(settings, options.rest)
    if not options.print_config and data is not None and data.rpartition(".")[2] == "PictureFolder":
        _require_folder(settings, options.rest)


def _require_trusted(options: TrainOptions, settings: Sequence[dict[str, Any]]) -> None:
    """Trust the classes that the command line names, and refuse others of one's own that a file names."""
    trust_words(options.rest, options.method)
    for name, content in zip(options.configs, settings):
        require_trusted(content, name)
    for run in (options.resume, options.continue_from):
        file = None if run is None else run / "config.yaml"
        if file is not None and file.is_file():
            require_trusted(read_settings(file), file)


@dataclass(frozen=True)
class _Places:
    """Where options may stand.

    Attributes:
        model: class path; None where the configuration does not tell, or is a run's.
        data: likewise.
    """

    model: str | None
    data: str | None

    def names(self, top: str) -> frozenset[str] | None:
        """Return the options below ``model``, ``data`` or ``trainer``; None where they are not known."""
        if top == "trainer":
            return trainer_options()
        path = self.model if top == "model" else self.data
        return None if path is None else options_of(path, "models" if top == "model" else "data")

    def check(self, name: str) -> None:
        """Raise UsageError where a path into the configuration leads nowhere."""
        top, *below = name.split(".")
        if top not in _TOPS:
            raise UsageError(f"unknown option --{name}{self._meant(name, top)}\nHelp: deephash train --help")
        if top not in ("model", "data", "trainer") or not below:
            return
        inner = below[1] if below[0] == "init_args" and len(below) > 1 else below[0]
        known = self.names(top)
        if known is None or inner in known or inner in _INSIDE:
            self._check_part(name, below)
            return
        raise UsageError(
            f"unknown option --{name}{self._who(top)}{self._meant(name, top)}\nHelp: deephash train --help"
        )

    def _check_part(self, name: str, below: Sequence[str]) -> None:
        """Refuse a field that a backbone or an optimiser does not have."""
        inner = below[1:] if below[0] == "init_args" else below
        part = next((part for part in _PARTS if inner and inner[0].endswith(part)), None)
        if part is None or len(inner) < 2 or self.model is None or name.split(".")[0] != "model":
            return
        known = fields_of(*_PARTS[part])
        if inner[1] not in known:
            given = f"unknown option --{name}: {_PARTS[part][1]} has no {inner[1]!r}"
            raise UsageError(f"{given}{did_you_mean(inner[1], sorted(known))}\nHelp: deephash train --help")

    def _who(self, top: str) -> str:
        path = {"model": self.model, "data": self.data}.get(top)
        return f": {path.rpartition('.')[2]} takes no such one" if path else ": the trainer takes no such one"

    def _meant(self, name: str, top: str) -> str:
        """Return what may have been meant: the same name elsewhere, else a near one where ``name`` stood."""
        last = name.rpartition(".")[2].replace("-", "_")
        paths = self._paths()
        if last in paths:
            return _instead(paths[last])
        if top in ("model", "data", "trainer"):
            return did_you_mean(last, sorted(self.names(top) or ()))
        near = get_close_matches(last, paths, n=1, cutoff=_NEAR)
        return _instead(paths[near[0]]) if near else ""

    def _paths(self) -> dict[str, str]:
        """Return {name: how it is written} of all options; friendly ones before paths, the model's before others."""
        inside = {top: self.names(top) or () for top in ("trainer", "data", "model")}
        written = {
            key: f"--{top}.{'' if top == 'trainer' else 'init_args.'}{key}" for top in inside for key in inside[top]
        }
        return written | {key.replace("-", "_"): f"--{key}" for key in _FRIENDLY}


def _instead(path: str) -> str:
    return f"; did you mean {path}=..., a path into the configuration?" if "." in path else f"; did you mean {path}?"


def chosen_class(kind: str, settings: Sequence[dict[str, Any]], words: Sequence[str]) -> str | None:
    """Return the class that ``--model`` or ``--data`` names, else the last configuration that names one."""
    chosen: str | None = None
    for content in settings:
        given = content.get(kind)
        path = given.get("class_path") if isinstance(given, dict) else given
        chosen = path if isinstance(path, str) else chosen
    return _value(words, (f"--{kind}", f"--{kind}.class_path")) or chosen


def _value(words: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the last value of an option, given as ``--name=value`` or ``--name value``."""
    found = None
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            found = value if equals else next(iter(words[place + 1 : place + 2]), None)
    return found


def method_class(name: str) -> str | None:
    """Return the class of a method of deephash; None of one's own or a package's, which torch's import must judge."""
    if "." in name or declared_as(METHODS, {plain(name)}):
        return None
    known = {each.lower(): each for each in method_names()}
    word = plain(name)
    if word not in known:
        raise UsageError(f"there is no method {name!r}{did_you_mean(word, sorted(known))}. All: deephash models list")
    return known[word]


def _require_networks(settings: Sequence[dict[str, Any]], words: Sequence[str]) -> None:
    """Refuse a network that timm, torchvision or open_clip does not have; the last that is named counts."""
    for field in ("backbone", "text_backbone"):
        given = _value(words, (f"--model.init_args.{field}.name", f"--model.{field}.name"))
        for content in settings if given is None else ():
            model = content.get("model")
            part = model.get("init_args", {}).get(field) if isinstance(model, dict) else None
            given = part.get("name", given) if isinstance(part, dict) else given
        if isinstance(given, str):
            require_network(given)


def _require_folder(settings: Sequence[dict[str, Any]], words: Sequence[str]) -> None:
    given = _value(words, ("--data.init_args.root", "--data.root"))
    for content in settings if given is None else ():
        data = content.get("data")
        given = data.get("init_args", {}).get("root", given) if isinstance(data, dict) else given
    if given is not None and not Path(given).expanduser().is_dir():
        raise DatasetNotFound(
            f"{given} is not a folder; give one with a sub-folder a class: --data.init_args.root=PICTURES"
        )
