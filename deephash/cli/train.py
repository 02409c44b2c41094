"""``deephash train``: LightningCLI with friendly aliases, a grid over bits and seeds, and no traceback.

Everything in a configuration file is an option too, for example ``--model.init_args.margin=0.3``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from deephash.cli.output import note, print_json, table
from deephash.cli.train_checks import check_early
from deephash.cli.train_options import read_options
from deephash.foreign.trust import trusted
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
  --batch-size N|auto  auto: the largest power of two that memory holds and that leaves an epoch eight steps or more
  --accumulate N       add the gradients of N batches before each step
  --precision NAME     32-true, bf16-mixed, 16-mixed
  --ema DECAY          average the weights, say 0.999: what is scored and saved is the average
  --compile            torch.compile the backbones that learn; the saved model loads without
  --logger NAME        tensorboard or wandb, beside metrics.csv; repeatable
  --defence NAME[:N]   adversarial training, of any method that learns by gradients from pictures: saat, cgat, atrdh
                       (:4/255 is the budget, 8/255 by default); noise:0.25 puts Gaussian noise on the pictures.
                       Repeatable; options: --defence.steps=10 --defence.weight=2 (docs/defences.md)
  --start-from RUN     begin with the weights of a trained run or model folder, wherever they fit
  --stream FILE        learn a task of a stream (deephash data stream) instead of the configuration's data
  --task N             which; default 1, or the one after that of --continue-from
  --continue-from RUN  learn the next task of RUN's stream from its weights and, without --config, by its configuration.
                       Codes that RUN stored stay as they are (docs/lifelong.md). --epochs 0: the frozen model
  --replay N|all       learn N training items of earlier tasks again
  --compatible NAME    with --continue-from: keep new codes near the stored ones while learning: hoc, bct, bebr, dlch
                       (:0.5 is the weight); options: --compatible.mu=10 (docs/lifelong.md)
  --from-scratch       with --continue-from: keep codes and class targets of RUN, but begin with fresh weights, as of
                       a new backbone (give its --config)
  --reserve N          keep N class targets free for classes to come (OrthoHash, CSQ, DPN; docs/lifelong.md)
  --targets RUN|FILE   pull the classes to the targets of another model
  --out FOLDER         where the run is kept; default runs/NAME. A run is never overwritten
  --resume FOLDER      go on with an interrupted run
  --fast-dev-run       two epochs on a few items of each split, to see whether everything fits
  --json               one JSON object a run on stdout
  --print-config       the complete configuration, and stop

Any other option is a path into the configuration: --model.init_args.margin=0.3 --data.init_args.batch_size=128
--trainer.accelerator=gpu. They are listed with types and defaults by
  deephash train --help --method csq             of a method (deephash models list)
  deephash train --help --data PictureFolder     of a data set
  deephash train --help --trainer                of Lightning's Trainer
  deephash train --help --config NAME            of all three, with the configuration's values

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
        from deephash.cli.train_help import option_tree

        print(option_tree(words) or HELP)
        return 0 if words else 2
    if "--list" in words:
        from deephash.training.configurations import shipped_configs

        print("\n".join(shipped_configs()))
        return 0
    options = read_options(words)
    check_early(options)
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
    for line in result["warnings"]:
        note(f"warning: {line}")
    for task, score in result["scores"].items():
        print(
            f"{result['method']}  {result['bits']} bits  seed {result['seed']}  {_named('mAP@all', task)} {score:.4f}"
        )
    if result["protocol"]:
        print(f"  {result['protocol']}")
    own = f" --trust {','.join(trusted())}" if trusted() else ""
    print(f"  model {result['run']}/model   {result['seconds']:.1f} s   next: deephash evaluate {result['run']}{own}")


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
