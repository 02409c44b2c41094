"""``deephash reproduce``: train what a configuration describes, and hold the figures against what it expects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from deephash.cli.output import note, print_json, table
from deephash.cli.train_checks import check_early
from deephash.cli.train_options import read_options
from deephash.errors import UsageError, did_you_mean
from deephash.training.configurations import find_config, read_settings, shipped_configs
from deephash.training.expected import KEY, Expected, expected_of, without_expected
from deephash.training.reproducing import Reproduction, claim, described, write_record
from deephash.training.reproducing import reproduce as run_all

_OWN = ("--seed", "--seeds", "--out", "--list", "--json")
_PLACES = ("root", "file", "path", "vectors", "cache_dir", "num_workers")  # of data: where it is, and how it is read
_ALLOWED = ("--data.init_args.root", "--weights", "--trainer.accelerator", "--trainer.devices")


def reproduce(
    config: str | None = None,
    /,
    *where: Annotated[str, Parameter(allow_leading_hyphen=True)],
    seed: int | None = None,
    seeds: int | None = None,
    out: Path | None = None,
    list: bool = False,
    json: bool = False,
) -> int:
    """Train a configuration with every seed it was measured with, and compare with the figures it expects.

    $ deephash reproduce orthohash/digits_64
    $ deephash reproduce mine.yaml --seeds 1 --data.init_args.root=PICTURES
    $ deephash reproduce --list

    Ends with 0 where every mean is within its tolerance under the same protocol, else with 1. Interrupted, it goes on
    where it stopped when it is run again with the same --out. docs/reproduce.md says how to write what is expected.

    Args:
        config: a configuration that ships with deephash, or a YAML file, with the key `expected`.
        where: where the data and the machine are: --data.init_args.root=PICTURES, --weights=FILE,
            --trainer.accelerator=gpu. All else is as the configuration says.
        seed: this one only.
        seeds: seeds 0 .. N-1; by default those of the configuration.
        out: folder of the runs and of reproduce.json; default reproduced/NAME.
        list: name the configurations that ship with figures, and stop.
        json: print one JSON object.
    """
    if list:
        return _list()
    if config is None:
        raise UsageError("which configuration? deephash reproduce CONFIG; deephash reproduce --list names them")
    _require_places(where)
    file = find_config(config)
    expected = expected_of(read_settings(file), config)
    chosen = _seeds(expected, seed, seeds)
    check_early(read_options(["--config", config, *where]))
    folder = out or Path("reproduced") / _name(config)
    record = claim(folder, without_expected(file.read_text(encoding="utf8") + "\n"), where) | {"config": config}
    write_record(folder, record | {"status": "running"})
    found = _run(expected, chosen, folder, config, where)
    if found is None:
        return 130
    record |= {"status": "finished", **described(found, expected)}
    write_record(folder, record)
    if json:
        print_json(record)
    else:
        print("\n".join(_lines(found, expected)))
    note(f"saved {folder / 'reproduce.json'}")
    return 0 if found.succeeded else 1


def _run(
    expected: Expected, seeds: Sequence[int], folder: Path, config: str, where: Sequence[str]
) -> Reproduction | None:
    """Train and score; None where Ctrl-C came."""
    from deephash.scoring.targets import evaluate
    from deephash.training import TrainingInterrupted
    from deephash.training.configured import train_one

    reused: dict[str, Any] = {}
    settings = expected.settings()

    def train(seed: int, run: Path, resume: bool) -> None:
        source = ["--resume", str(run)] if resume else ["--config", config, "--out", str(_cleared(run))]
        note(f"{'going on with' if resume else 'training'} seed {seed}, into {run}")
        train_one(read_options([*source, *where]), None, None if resume else seed, in_grid=False, reused=reused)

    def score(run: Path, task: str | None) -> Any:
        report = evaluate(run, settings=settings, task=task)
        report.save(run)
        return report

    try:
        return run_all(expected, seeds, folder, train=train, score=score)
    except TrainingInterrupted:
        words = " ".join(["deephash reproduce", config, *where, f"--out {folder}"])
        print(f"deephash: interrupted; what is finished is kept. It goes on with: {words}", file=sys.stderr)
        return None


def _cleared(run: Path) -> Path:
    """Take away what a run left that was killed before its first epoch ended, so that the name is free."""
    from deephash.training.run_folder import RunFolder

    RunFolder(run).withdraw()
    if run.exists():
        raise UsageError(f"{run} holds files that no run wrote; move them away, or give another --out")
    return run


# Words ---------------------------------------------------------------------------------------------------


def _require_places(words: Sequence[str]) -> None:
    for word in words:
        name = word.partition("=")[0]
        place = name.startswith("--data.") and name.rpartition(".")[2] in _PLACES
        if name.startswith("--") and not place and not name.startswith(_ALLOWED):
            raise UsageError(
                f"{name} would change what is reproduced{did_you_mean(name, list(_OWN))}. CONFIG is trained as it "
                f"stands, with other {', '.join(_ALLOWED)} at most; for all else copy the file"
            )


def _seeds(expected: Expected, seed: int | None, seeds: int | None) -> tuple[int, ...]:
    if seed is not None and seeds is not None:
        raise UsageError("give --seed (one run) or --seeds (how many runs), not both")
    if seeds is not None and seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {seeds}")
    if seed is not None:
        return (seed,)
    return expected.seeds if seeds is None else tuple(range(seeds))


def _name(config: str) -> str:
    short = config.removeprefix("configs/").removesuffix(".yaml")
    return short.replace("/", "_") if short in shipped_configs() else Path(config).stem


# Printing ------------------------------------------------------------------------------------------------


def _list() -> int:
    rows = []
    for name in shipped_configs():
        settings = read_settings(find_config(name))
        if KEY in settings:
            said = expected_of(settings, name)
            figures = ", ".join(f"{metric} {value:.4f}" for metric, value in said.figures.items())
            rows.append((name, figures, f"± {said.tolerance:g}", len(said.seeds), said.source))
    print(table(rows, ("configuration", "expected", "tolerance", "seeds", "source")))
    return 0


def _lines(found: Reproduction, expected: Expected) -> Sequence[str]:
    rows = [
        (each.metric, each.expected, str(each.found), f"{each.difference:+.4f}", each.tolerance, _verdict(each.within))
        for each in found.findings
    ]
    header = ("metric", "expected", "found", "difference", "tolerance", "")
    named = ", ".join(map(str, found.seeds))
    lines = [f"{found.method}, seeds {named}", table(rows, header), f"protocol: {found.protocol}"]
    if found.seeds != expected.seeds:
        lines.append(f"note: expected of seeds {', '.join(map(str, expected.seeds))}, found of {named}")
    if expected.protocol is None:
        lines.append("note: the configuration names no protocol, so nothing says that both figures mean the same")
    for name, (mine, theirs) in found.differences.items():
        lines.append(f"the protocol differs: {name} is {theirs!r}, expected {mine!r}")
    if found.differences:
        lines.append("not reproduced: figures of different protocols cannot be compared")
    else:
        lines.append("reproduced: within tolerance" if found.succeeded else "not reproduced: beyond tolerance")
    return [*lines, *([f"source: {expected.source}"] if expected.source else [])]


def _verdict(within: bool) -> str:
    return "within" if within else "beyond"
