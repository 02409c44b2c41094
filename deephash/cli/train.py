"""``deephash train``: LightningCLI with friendly aliases, a grid over bits and seeds, and no traceback.

Everything in a configuration file is an option too, for example ``--model.init_args.margin=0.3``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deephash.cli.output import note, print_json, table
from deephash.encoding.record import model_folder
from deephash.errors import UsageError, did_you_mean
from deephash.training.options import TrainOptions

HELP = """\
deephash train --config NAME|FILE [--bits N ...] [--seed N | --seeds N] [...]

  --config NAME|FILE   a configuration that ships with deephash (deephash train --list) or a YAML file; repeatable
  --method NAME        train this method instead of the configuration's: csq, greedyhash, ... (deephash models list)
  --bits N [N ...]     code lengths; several make a grid
  --seed N             of everything random; default 0
  --seeds N            seeds 0 .. N-1, one run each
  --epochs N           instead of the configuration's
  --backbone NAME      timm:resnet18, torchvision:alexnet, small_cnn:32, features:512, ...
  --weights FILE       of the backbone
  --defence NAME[:N]   adversarial training, of any method that learns by gradients from pictures: saat, cgat, atrdh
                       (:4/255 is the budget, 8/255 by default); noise:0.25 puts Gaussian noise on the pictures.
                       Repeatable; options: --defence.steps=10 --defence.weight=2 (docs/defences.md)
  --start-from RUN     begin with the weights of a trained run or model folder, wherever they fit
  --stream FILE        learn a task of a stream (deephash data stream) instead of the configuration's data
  --task N             which; default 1, or the one after that of --continue-from
  --continue-from RUN  learn the next task of RUN's stream from its weights and, without --config, by its configuration.
                       Codes that RUN stored stay as they are (docs/lifelong.md). --epochs 0: the frozen model
  --replay N|all       learn N training items of earlier tasks again
  --out FOLDER         where the run is kept; default runs/NAME. A run is never overwritten
  --resume FOLDER      go on with an interrupted run
  --fast-dev-run       two epochs on a few items of each split, to see whether everything fits
  --json               one JSON object a run on stdout
  --print-config       the complete configuration, and stop

Any other option is a path into the configuration: --model.init_args.margin=0.3 --data.init_args.batch_size=128
--trainer.accelerator=gpu. `deephash models list` lists the methods.

Examples
  deephash train --config orthohash/digits_64
  deephash train --config any/folder_64 --method csq --data.init_args.root=PICTURES
  deephash train --config orthohash/digits_64 --defence saat --start-from runs/orthohash_digits_64
  deephash train --config orthohash/digits_64 --stream digits.json --out runs/one
  deephash train --continue-from runs/one --replay 200 --out runs/two
  deephash train --config orthohash/cifar10_64 --data.init_args.root=data --bits 16 32 64 --seeds 3
"""


def run(arguments: Sequence[str]) -> int:
    """Train what the arguments ask for; see ``HELP``."""
    words = list(arguments)
    if not words or any(word in ("-h", "--help") for word in words):
        print(HELP)
        return 0 if words else 2
    if "--list" in words:
        from deephash.training.configurations import shipped_configs

        print("\n".join(shipped_configs()))
        return 0
    options = read_options(words)
    from deephash.training.configured import complete_config, train_one  # torch from here on

    if options.print_config:
        print(complete_config(options), end="")
        return 0
    return _train_all(options, train_one)


def _train_all(options: TrainOptions, train_one: Any) -> int:
    from deephash.training import TrainingInterrupted

    results: list[dict[str, Any]] = []
    reused: dict[str, Any] = {}  # data with cached features, from one run of a grid to the next
    grid = [(bits, seed) for bits in options.bits or (None,) for seed in options.seeds or (None,)]
    try:
        for bits, seed in grid:
            results.append(train_one(options, bits, seed, in_grid=len(grid) > 1, reused=reused))
            report(results[-1], options.json)
    except TrainingInterrupted as interrupted:
        print(f"deephash: {interrupted}", file=sys.stderr)
        return 130
    if len(grid) > 1 and not options.json:
        print(summary(results))
    return 0


# Printing ------------------------------------------------------------------------------------------


def report(result: dict[str, Any], as_json: bool) -> None:
    """Print one finished run."""
    if as_json:
        print_json(result)
        return
    for line in result["notes"]:
        note(f"note: {line}")
    for task, score in result["scores"].items():
        print(
            f"{result['method']}  {result['bits']} bits  seed {result['seed']}  {_named('mAP@all', task)} {score:.4f}"
        )
    if result["protocol"]:
        print(f"  {result['protocol']}")
    print(f"  model {result['run']}/model   {result['seconds']:.1f} s   next: deephash evaluate {result['run']}")


def summary(results: list[dict[str, Any]]) -> str:
    """Return the table of a grid: mean and spread over seeds for each code length."""
    import numpy as np

    rows = []
    groups = dict.fromkeys((each["method"], each["bits"], task) for each in results for task in each["scores"])
    for method, bits, task in groups:
        scores = [each["scores"][task] for each in results if (each["method"], each["bits"]) == (method, bits)]
        spread = f"{np.std(scores, ddof=1):.4f}" if len(scores) > 1 else "-"
        rows.append((method, bits, _named("mAP@all", task), f"{np.mean(scores):.4f}", spread, len(scores)))
    return table(rows, ("method", "bits", "metric", "mean", "sd", "seeds"))


def _named(metric: str, task: str) -> str:
    return f"{metric} {task}" if task else metric


# Reading the friendly options ------------------------------------------------------------------------

_VALUED = {
    "--config": "configs", "-c": "configs", "--method": "method", "--bits": "bits", "--seed": "seed",
    "--seeds": "seeds", "--epochs": "epochs", "--backbone": "backbone", "--weights": "weights", "--out": "out",
    "--resume": "resume", "--defence": "defences", "--start-from": "start", "--stream": "stream", "--task": "task",
    "--replay": "replay", "--continue-from": "continue_from",
}  # fmt: skip
_FLAGS = {"--fast-dev-run": "fast_dev_run", "--json": "json", "--print-config": "print_config"}
_CALLBACKS = "--trainer.callbacks"
_DEFENCES = {  # name -> hook, and its option that stands behind the colon
    "saat": ("deephash.attacks.defences.SAAT", "epsilon"),
    "cgat": ("deephash.attacks.defences.CgAT", "epsilon"),
    "atrdh": ("deephash.attacks.defences.ATRDH", "epsilon"),
    "noise": ("deephash.attacks.defences.NoiseTraining", "sigma"),
}
_PATHS = {
    "epochs": "--trainer.max_epochs={}",
    "backbone": "--model.init_args.backbone.name={}",
    "weights": "--model.init_args.backbone.weights={}",
}


def read_options(words: Sequence[str]) -> TrainOptions:
    """Sort friendly options from the rest. Raises UsageError where a value is missing or not a number."""
    given: dict[str, list[str]] = {}
    flags: dict[str, bool] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name in _FLAGS and not equals:
            flags[_FLAGS[name]] = True
        elif name.startswith("--defence."):
            given.setdefault("defences", []).append(
                f"{name}={value if equals else ''.join(_values(queue, many=False))}"
            )
        elif name in _VALUED:
            values = [value] if equals else _values(queue, many=name == "--bits")
            if not values:
                raise UsageError(f"{name} needs a value\nHelp: deephash train --help")
            given.setdefault(_VALUED[name], []).extend(values)
        else:
            rest.append(f"{name}={value}" if equals else name)
    if "epochs" in given:
        starts = given.keys() & {"continue_from", "start"}
        _number("--epochs", given["epochs"][-1], least=0 if starts else 1)
    rest += [_PATHS[key].format(given[key][-1]) for key in _PATHS if key in given]
    rest += _callbacks(given)
    _require_apart(given)
    if not given.keys() & {"resume", "configs", "continue_from"} and not any(
        word.startswith("--model") for word in rest
    ):
        strange = f" ({rest[0]} is no option of its own)" if rest else ""
        raise UsageError(
            f"nothing to train{strange}: give --config NAME (see deephash train --list), or --model and --data"
        )
    return TrainOptions(
        configs=tuple(given.get("configs", ())),
        method=given["method"][-1] if "method" in given else None,
        bits=tuple(_number("--bits", text) for text in given.get("bits", ())),
        seeds=_seeds(given),
        out=Path(given["out"][-1]) if "out" in given else None,
        resume=Path(given["resume"][-1]) if "resume" in given else None,
        stream=Path(given["stream"][-1]) if "stream" in given else None,
        task=_number("--task", given["task"][-1], least=1) if "task" in given else None,
        replay=given["replay"][-1] if "replay" in given else None,
        continue_from=Path(given["continue_from"][-1]) if "continue_from" in given else None,
        rest=tuple(rest),
        **flags,
    )


def _require_apart(given: dict[str, list[str]]) -> None:
    """Refuse options that say two things at once."""
    if "resume" in given and (more := given.keys() & {"stream", "task", "replay", "continue_from"}):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(more))
        raise UsageError(f"a resumed run has its data and its ancestor; leave out {named}")
    if {"continue_from", "start"} <= given.keys():
        raise UsageError("--continue-from begins with the weights of its run; leave out --start-from")


def _callbacks(given: dict[str, list[str]]) -> list[str]:
    """Return the paths into the configuration that ``--start-from`` and ``--defence`` stand for."""
    named = [option for option in ("defences", "start") if option in given]
    if "resume" in given and named:
        raise UsageError("a resumed run has its defence and its start; leave out --defence and --start-from")
    words = []
    for source in given.get("start", ()):
        folder = model_folder(source)
        if not folder.is_dir():
            raise UsageError(f"--start-from {source}: no such run or model folder")
        words += [f"{_CALLBACKS}+=deephash.models.warm_start.WarmStart", f"{_CALLBACKS}.directory={folder}"]
    hooks = 0
    for word in given.get("defences", ()):
        if word.startswith("--defence."):
            if not hooks:
                raise UsageError(f"{word} is an option of a defence: name it before, --defence saat {word}")
            words.append(_CALLBACKS + word.removeprefix("--defence"))
            continue
        hooks += 1
        words += _defence(word)
    return words


def _defence(word: str) -> list[str]:
    name, colon, value = word.partition(":")
    if name not in _DEFENCES:
        raise UsageError(f"no defence is called {name!r}{did_you_mean(name, list(_DEFENCES))}")
    made, option = _DEFENCES[name]
    return [f"{_CALLBACKS}+={made}", *([f"{_CALLBACKS}.{option}={value}"] if colon else [])]


def _values(queue: list[str], *, many: bool) -> list[str]:
    values: list[str] = []
    while queue and not queue[0].startswith("-") and (many or not values):
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
