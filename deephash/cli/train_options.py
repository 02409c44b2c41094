"""The words of ``deephash train``: its own options sorted from the paths into the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deephash.cli.train_learning import AUTO, checked_loggers, learning_words, needing_gradients
from deephash.errors import UsageError, did_you_mean
from deephash.training.options import TrainOptions

_VALUED = {
    "--config": "configs", "-c": "configs", "--method": "method", "--bits": "bits", "--seed": "seed",
    "--seeds": "seeds", "--epochs": "epochs", "--backbone": "backbone", "--weights": "weights", "--out": "out",
    "--resume": "resume", "--start-from": "start", "--stream": "stream", "--task": "task",
    "--replay": "replay", "--continue-from": "continue_from", "--reserve": "reserve", "--targets": "targets",
    "--batch-size": "batch_size", "--accumulate": "accumulate", "--precision": "precision", "--ema": "ema",
    "--logger": "loggers",
}  # fmt: skip
_FOLDERS = ("out", "resume", "stream", "continue_from", "targets")
_FLAGS = {
    "--fast-dev-run": "fast_dev_run", "--json": "json", "--print-config": "print_config",
    "--from-scratch": "from_scratch", "--compile": "compile",
}  # fmt: skip
_CALLBACKS = "--trainer.callbacks"
_HOOKS = {  # option -> name -> hook, and its option that stands behind the colon
    "--defence": {
        "saat": ("deephash.attacks.defences.SAAT", "epsilon"),
        "cgat": ("deephash.attacks.defences.CgAT", "epsilon"),
        "atrdh": ("deephash.attacks.defences.ATRDH", "epsilon"),
        "noise": ("deephash.attacks.defences.NoiseTraining", "sigma"),
    },
    "--compatible": {
        "hoc": ("deephash.models.compatible.HOC", "weight"),
        "bct": ("deephash.models.compatible.BCT", "weight"),
        "bebr": ("deephash.models.compatible.BEBRCompatible", "weight"),
        "dlch": ("deephash.models.lifelong_hook.LifelongHashing", "weight"),
    },
}
_PATHS = {
    "epochs": "--trainer.max_epochs={}",
    "backbone": "--model.init_args.backbone.name={}",
    "weights": "--model.init_args.backbone.weights={}",
    "reserve": "--model.init_args.reserve={}",
}


Given = dict[str, list[str]]


def read_options(words: Sequence[str]) -> TrainOptions:
    """Sort friendly options from the rest. Raises UsageError where a value is missing or not a number."""
    given, flags, rest = _sorted_out(words)
    _require_apart(given)
    if "from_scratch" in flags and "continue_from" not in given:
        raise UsageError(
            "--from-scratch keeps codes and class targets of a run under fresh weights: --continue-from RUN"
        )
    if "epochs" in given:
        starts = given.keys() & {"continue_from", "start"}
        _number("--epochs", given["epochs"][-1], least=0 if starts else 1)
    rest += [_PATHS[key].format(given[key][-1]) for key in _PATHS if key in given]
    rest += _callbacks(given) + learning_words(given, flags)
    by_gradients = needing_gradients(given, flags)
    flags.pop("compile", None)
    described = given.keys() & {"resume", "configs", "continue_from"}
    if not described and not any(word.startswith("--model") for word in rest):
        strange = f" ({rest[0]} is no option of its own)" if rest else ""
        raise UsageError(
            f"nothing to train{strange}: give --config NAME (see deephash train --list), or --model and --data"
        )
    known: dict[str, Any] = flags | {name: Path(given[name][-1]) for name in _FOLDERS if name in given}
    return TrainOptions(
        configs=tuple(given.get("configs", ())),
        method=given["method"][-1] if "method" in given else None,
        bits=tuple(_number("--bits", text, least=1) for text in given.get("bits", ())),
        seeds=_seeds(given),
        task=_number("--task", given["task"][-1], least=1) if "task" in given else None,
        replay=given["replay"][-1] if "replay" in given else None,
        loggers=checked_loggers(given.get("loggers", ())),
        find_batch_size=given.get("batch_size", [""])[-1] == AUTO,
        by_gradients=by_gradients,
        rest=tuple(rest),
        **known,
    )


def _sorted_out(words: Sequence[str]) -> tuple[Given, dict[str, bool], list[str]]:
    """Return friendly options with their values, flags, and what is left."""
    given: Given = {}
    flags: dict[str, bool] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name in _FLAGS and not equals:
            flags[_FLAGS[name]] = True
        elif name in _VALUED or name.partition(".")[0] in _HOOKS:
            values = [value] if equals else _values(queue, many=name == "--bits")
            if not values:
                raise UsageError(f"{name} needs a value\nHelp: deephash train --help")
            if name in _VALUED:
                given.setdefault(_VALUED[name], []).extend(values)
            else:
                given.setdefault("hooks", []).append(f"{name}={values[0]}")
        else:
            rest.append(f"{name}={value}" if equals else name)
    return given, flags, rest


def _require_apart(given: Given) -> None:
    """Refuse options that say two things at once, or miss what they are about."""
    if "resume" in given and (more := given.keys() & {"stream", "task", "replay", "continue_from", "targets"}):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(more))
        raise UsageError(f"a resumed run has its data and its ancestor; leave out {named}")
    if {"continue_from", "start"} <= given.keys():
        raise UsageError("--continue-from begins with the weights of its run; leave out --start-from")
    compatible = [word for word in given.get("hooks", ()) if word.startswith("--compatible")]
    if compatible and "continue_from" not in given:
        raise UsageError("--compatible keeps new codes near those that a run stored: give --continue-from RUN")


def _callbacks(given: Given) -> list[str]:
    """Return the paths into the configuration that ``--start-from``, ``--defence`` and ``--compatible`` stand for."""
    if "resume" in given and (more := given.keys() & {"ema", "batch_size", "accumulate", "precision"}):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(more))
        raise UsageError(f"a resumed run goes on as it began; leave out {named}")
    if "resume" in given and given.keys() & {"hooks", "start"}:
        raise UsageError("a resumed run has its defence and its start; leave out --defence, --compatible, --start-from")
    words = []
    for source in given.get("start", ()):
        from deephash.encoding.record import model_folder  # beside what opens collections, which most runs do not

        folder = model_folder(source)
        if not folder.is_dir():
            raise UsageError(f"--start-from {source}: no such run or model folder")
        words += [f"{_CALLBACKS}+=deephash.models.warm_start.WarmStart", f"{_CALLBACKS}.directory={folder}"]
    last = ""
    for word in given.get("hooks", ()):
        family, dot, rest = word.partition("=")[0].partition(".")
        if dot and family != last:
            example = next(iter(_HOOKS[family]))
            raise UsageError(f"{word} is an option of a hook: name it before, {family} {example} {word}")
        if dot:
            words.append(f"{_CALLBACKS}.{rest}={word.partition('=')[2]}")
        else:
            last = family
            words += _hook(family, word.partition("=")[2])
    return words


def _hook(family: str, word: str) -> list[str]:
    name, colon, value = word.partition(":")
    if name not in _HOOKS[family]:
        raise UsageError(f"{family} knows no {name!r}{did_you_mean(name, list(_HOOKS[family]))}")
    made, option = _HOOKS[family][name]
    if colon and option == "weight":
        _require_float(f"{family} {name}:WEIGHT", value)
    return [f"{_CALLBACKS}+={made}", *([f"{_CALLBACKS}.{option}={value}"] if colon else [])]


def _require_float(name: str, text: str) -> None:
    try:
        float(text)
    except ValueError:
        raise UsageError(f"{name} takes a number, not {text!r}") from None


def _values(queue: list[str], *, many: bool) -> list[str]:
    values: list[str] = []
    while queue and (not queue[0].startswith("-") or queue[0][1:2].isdigit()) and (many or not values):
        values.append(queue.pop(0))
    return values


def _seeds(given: dict[str, list[str]]) -> tuple[int, ...]:
    if "seed" in given and "seeds" in given:
        raise UsageError("give --seed (one run) or --seeds (how many runs), not both")
    if "seeds" in given:
        return tuple(range(_number("--seeds", given["seeds"][-1], least=1)))
    return tuple(_number("--seed", text) for text in given.get("seed", ()))


def _number(name: str, text: str, *, least: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{name} takes whole numbers, not {text!r}") from None
    if least is not None and number < least:
        raise UsageError(f"{name} must be at least {least}, not {number}")
    return number
