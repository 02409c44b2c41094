"""What ``--stream``, ``--continue-from`` and ``--replay`` mean in a configuration."""

from __future__ import annotations

from pathlib import Path

from deephash.data.streams import STREAM_NAME, read_stream
from deephash.errors import UsageError
from deephash.training.lineage import INHERITED, Ancestor, next_task
from deephash.training.options import TrainOptions

STREAM_DATA = "deephash.data.StreamTask"


def stream_words(options: TrainOptions, ancestor: Ancestor | None, seed: int | None) -> list[str]:
    """Return the paths into the configuration; none where no stream is meant.

    Raises:
        UsageError: ``--task`` or ``--replay`` without a stream, or what is no number.
    """
    if options.resume is not None and (options.resume / STREAM_NAME).is_file():
        return [f"--data.init_args.stream={options.resume / STREAM_NAME}"]  # its own copy: the original may be gone
    if options.stream is None and ancestor is None:
        named = {"--task": options.task, "--replay": options.replay}
        if given := [name for name, value in named.items() if value is not None]:
            raise UsageError(f"{given[0]} is of a task of a stream: give --stream FILE or --continue-from RUN")
        return []
    file = _stream_file(options, ancestor)
    task = options.task or (1 if ancestor is None else next_task(ancestor, read_stream(file)))
    words = {"stream": str(file), "task": task, "replay": _replay(options.replay)}
    if seed is not None:
        words["seed"] = seed
    return [f"--data={STREAM_DATA}", *(f"--data.init_args.{name}={value}" for name, value in words.items())]


def start_words(options: TrainOptions, ancestor: Ancestor | None) -> list[str]:
    """Return what lets a descendant begin with its ancestor's weights."""
    if ancestor is None or options.from_scratch:
        return []
    start = [f"--trainer.callbacks+={INHERITED}", f"--trainer.callbacks.directory={ancestor.folder / 'model'}"]
    return [*start, "--trainer.callbacks.same_network=true"]


def _stream_file(options: TrainOptions, ancestor: Ancestor | None) -> Path:
    if options.stream is not None:
        return options.stream
    assert ancestor is not None
    return ancestor.stream_file()


def _replay(text: str | None) -> str:
    if text is None:
        return "0"
    if text != "all" and not text.isdecimal():
        raise UsageError(f"--replay takes a number of earlier training items, or all, not {text!r}")
    return text
