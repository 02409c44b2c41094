"""How a run learns, in words: sizes of batches, precision, averaged weights, compiled networks; and its loggers.

Each is a path into the configuration, so that ``config.yaml`` and a resumed run have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deephash.errors import UsageError, did_you_mean
from deephash.foreign.extras import require

AUTO = "auto"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
LOGGERS = ("tensorboard", "wandb")  # each by the extra of its name; metrics.csv is always there
BY_GRADIENTS = ("batch_size", "accumulate", "precision", "ema")
_CALLBACKS = "--trainer.callbacks"
_HOME = "deephash.training"


def learning_words(given: Mapping[str, Sequence[str]], flags: Mapping[str, bool]) -> list[str]:
    """Return the paths that the options stand for. Raises UsageError for a value that cannot be meant."""
    last = {name: values[-1] for name, values in given.items()}
    words = []
    if "batch_size" in last and last["batch_size"] != AUTO:
        size = _whole(
            "--batch-size", last["batch_size"], 2, f"; pairs and batch norm need two, {AUTO} finds a large one"
        )
        words.append(f"--data.init_args.batch_size={size}")
    if "accumulate" in last:
        words.append(f"--trainer.accumulate_grad_batches={_whole('--accumulate', last['accumulate'], 1)}")
    if "precision" in last:
        if last["precision"] not in PRECISIONS:
            near = did_you_mean(last["precision"], list(PRECISIONS))
            raise UsageError(f"--precision is {', '.join(PRECISIONS)}, not {last['precision']!r}{near}")
        words.append(f"--trainer.precision={last['precision']}")
    if "ema" in last:
        decay = _decay(last["ema"])
        words += [f"{_CALLBACKS}+={_HOME}.averaging.WeightAverage", f"{_CALLBACKS}.decay={decay}"]
    if flags.get("compile"):
        words.append(f"{_CALLBACKS}+={_HOME}.compiling.CompiledBackbones")
    return words


def needing_gradients(given: Iterable[str], flags: Mapping[str, bool]) -> tuple[str, ...]:
    """Return the options given that mean nothing to a method that is fitted in closed form."""
    named = [f"--{name.replace('_', '-')}" for name in BY_GRADIENTS if name in set(given)]
    return (*named, *(["--compile"] if flags.get("compile") else []))


def checked_loggers(names: Sequence[str]) -> tuple[str, ...]:
    """Return the loggers that are wanted. Raises UsageError for an unknown one, or one that is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise UsageError(f"--logger is {', '.join(LOGGERS)}, not {name!r}{did_you_mean(name, list(LOGGERS))}")
        require(name, f"--logger {name}")
    return tuple(dict.fromkeys(names))


def _whole(name: str, text: str, least: int, why: str = "") -> int:
    try:
        number = int(text)
    except ValueError:
        more = f" or {AUTO}" if name == "--batch-size" else ""
        raise UsageError(f"{name} takes a whole number{more}, not {text!r}") from None
    if number < least:
        raise UsageError(f"{name} must be at least {least}, not {number}{why}")
    return number


def _decay(text: str) -> float:
    try:
        decay = float(text)
    except ValueError:
        decay = -1.0
    if not 0 < decay < 1:
        raise UsageError(f"--ema takes a decay between 0 and 1, not {text}; 0.999 averages about a thousand steps")
    return decay
