"""What a run is asked for beside its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deephash.errors import UsageError

DEV_ITEMS, DEV_EPOCHS = 128, 2  # of a trial by ``--fast-dev-run``


@dataclass(frozen=True)
class TrainOptions:
    """The friendly options of ``deephash train``, and what is left for LightningCLI.

    Attributes:
        configs: names or files, the later over the earlier.
        method: the model's class, instead of the configuration's; its other options stay where it takes them.
        bits: code lengths; none takes the configuration's.
        seeds: of everything random; none takes the configuration's.
        out: folder of the run, or of the grid.
        resume: folder of an interrupted run.
        stream: file of the stream whose task is learned, instead of the configuration's data.
        task: its number; None takes the first, or the one after the ancestor's.
        replay: earlier training items that are learned again, a number or ``all``.
        continue_from: run on the task before.
        from_scratch: a descendant begins with fresh weights, as of another backbone; codes and targets are kept.
        targets: run, model folder or file whose class targets are kept.
        loggers: ``tensorboard``, ``wandb``: where figures go beside ``metrics.csv``; none takes a resumed run's.
        find_batch_size: take the largest batch that memory holds.
        by_gradients: options given that only methods trained by gradients understand.
        fast_dev_run: a trial of :data:`DEV_EPOCHS` epochs on :data:`DEV_ITEMS` items a split.
        json: print one object a run.
        print_config: print the complete configuration, and stop.
        rest: paths into the configuration, such as ``--model.init_args.margin=0.3``.
    """

    configs: tuple[str, ...] = ()
    method: str | None = None
    bits: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    out: Path | None = None
    resume: Path | None = None
    stream: Path | None = None
    task: int | None = None
    replay: str | None = None
    continue_from: Path | None = None
    from_scratch: bool = False
    targets: Path | None = None
    loggers: tuple[str, ...] = ()
    find_batch_size: bool = False
    by_gradients: tuple[str, ...] = ()
    fast_dev_run: bool = False
    json: bool = False
    print_config: bool = False
    rest: tuple[str, ...] = ()


def without_gradients(method: str, options: tuple[str, ...]) -> UsageError:
    """Return the error for options of learning that were given to a method that is fitted in closed form."""
    given = ", ".join(options)
    return UsageError(
        f"{method} is fitted in closed form on the whole table, without gradients or batches: leave out {given}, "
        "or take a method that learns by gradients, such as --method orthohash"
    )
