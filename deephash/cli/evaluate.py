"""``deephash evaluate``: exact retrieval figures of a run, a collection or anybody's code files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from deephash.cli.output import note, print_json
from deephash.errors import UsageError
from deephash.evaluation.settings import Settings
from deephash.reports.protocol import SEPARATOR, Protocol
from deephash.reports.report import EvaluationReport
from deephash.reports.report_json import report_to_data


def evaluate(
    *targets: Path,
    query: Path | None = None,
    database: Path | None = None,
    top_k: int | None = None,
    ties: str = "expected",
    normalize: Literal["hits", "min", "total", "first-k"] = "hits",
    empty: Literal["zero", "drop"] = "zero",
    radius: int = 2,
    ranks: tuple[int, ...] = (1, 10, 100),
    folds: int = 1,
    trapezoid: bool = False,
    map_at_r: bool = False,
    leave_one_out: bool = False,
    held_out: bool = False,
    legacy: str | None = None,
    adversarial: Path | None = None,
    lifelong: bool = False,
    reencoded: bool = False,
    compatibility: bool = False,
    protocol: str | None = None,
    method: str | None = None,
    baselines: bool = False,
    task: Literal["i2t", "t2i", "i2i", "t2t"] | None = None,
    label: str = "label",
    queries: int = 1000,
    resamples: int = 1000,
    seed: int = 0,
    save: Path | None = None,
    json: bool = False,
) -> None:
    """Score codes exactly: every figure with its range over tie orders, its interval and its protocol.

    $ deephash evaluate runs/orthohash --save report
    $ deephash evaluate runs/grid/64bits_seed0 runs/grid/64bits_seed1 runs/grid/64bits_seed2
    $ deephash evaluate pictures.dh --label category
    $ deephash evaluate --query q.npz --database d.npz --top-k 1000 --json
    $ deephash evaluate --query q.npz --database pictures.dh
    $ deephash evaluate --query q.npz --database d.npz --adversarial attacked.npz
    $ deephash evaluate --query birds.npz --database birds.npz --leave-one-out
    $ deephash evaluate session1 session2 session3 --lifelong
    $ deephash evaluate old_model new_model --compatibility

    An .npz holds `codes` (packed uint8, 0/1 or -1/+1) and `labels` (class numbers, or multi-hot rows), or `pairs` where
    the own pair is to be found, or in the query file `relevant` and `ignored` rows; docs/formats.md has the rest.
    Nothing is read from it that could run code.

    Args:
        targets: a run folder, a collection whose items have labels, or a folder with query.npz and database.npz;
            several runs that differ in their seed only give mean, spread and an interval over seeds; several, oldest
            first, are for --lifelong and --compatibility.
        query: .npz of the codes that ask, or a collection; give --database too.
        database: .npz of the codes that are searched, or a collection, whose --label is the class.
        top_k: R of mAP@R; the whole database when left out.
        ties: how equal distances are ordered: expected (exact mean), optimistic, pessimistic, stable, random:SEED.
        normalize: denominator of AP@R; `min` is printed beside it.
        empty: a query that finds nothing in the top R counts 0, or is dropped.
        radius: of the hash look-up figures, inclusive.
        ranks: N of P@N and R@N.
        folds: parts into which `pairs` are cut for hit@1, 5, 10; 5 for "COCO 1K".
        trapezoid: also print AP by trapezoids, the one of ROxford and RParis.
        map_at_r: also print MAP@R and R-precision of metric learning, R being each query's number of relevant items.
        leave_one_out: the queries are database items (told by `names`, else by order); each searches all the others.
        held_out: only items of a collection ask that its model was not trained on.
        legacy: also print what a public repository would: deephash-pytorch, hashnet, csq, orthohash, dcmh, ...
        adversarial: .npz of the queries after an attack, with `targets` where it aimed at labels: t-mAP, mAP drop, ASR.
        lifelong: the targets are stages of a model that learns session after session: forgetting, backward transfer.
        reencoded: with --lifelong: database codes are made anew at each stage, not kept.
        compatibility: the targets are models of which the newer search the codes of the older: AC and AM.
        protocol: name of the split, e.g. cifar10-i/v1, or a whole protocol string.
        method: name of the codes in tables.
        baselines: score random bits, LSH, PCA-sign, ITQ, class codes and exact cosine on the same features.
        task: which side asks which, of a cross-modal model.
        label: attribute of a collection that is the class.
        queries: items of a collection that ask, at most.
        resamples: bootstrap samples behind the 95 % intervals; 0 for none.
        seed: of everything drawn.
        save: folder for report.json, report.md, per_query.npz and the pictures; of several seeds, seeds.json, seeds.md
            and a report of each.
        json: print the report as one JSON object.
    """
    settings = Settings(
        top_k, ties, normalize, empty, radius, ranks, resamples, seed, legacy, folds, trapezoid, at_r=map_at_r
    )
    named = _read_protocol(protocol)
    if lifelong or compatibility or reencoded:
        alone = {
            "--query": query,
            "--database": database,
            "--adversarial": adversarial,
            "--baselines": baselines,
            "--leave-one-out": leave_one_out,
            "--held-out": held_out,
        }
        _require_series(lifelong, compatibility, reencoded, [name for name, given in alone.items() if given])
        report = _series(targets, settings, named, task, lifelong=lifelong, reencoded=reencoded)
        report = report if method is None else replace(report, method=method)
        _hand_over(report, save, json)
        return
    score = partial(
        _scored,
        settings=settings,
        protocol=named,
        method=method,
        baselines=baselines,
        task=task,
        label=label,
        num_queries=queries,
        seed=seed,
        attacked=adversarial,
        leave_one_out=leave_one_out,
        held_out=held_out,
    )
    if len(targets) > 1 and query is None and database is None:
        _seeds(targets, score, save, json)
        return
    _hand_over(score(*_sources(targets, query, database)), save, json)


def _scored(source: Path, data: Path | None = None, **asked: Any) -> EvaluationReport:
    from deephash.scoring.targets import evaluate as score

    return score(source, data, **asked)


def _seeds(runs: tuple[Path, ...], score: Callable[[Path], EvaluationReport], save: Path | None, as_json: bool) -> None:
    """Score runs that differ in their seed only."""
    from deephash.scoring.seeds import evaluate_seeds

    report = evaluate_seeds(runs, score)
    if as_json:
        print_json(report.to_data())
    else:
        print(report)
    if save is not None:
        files = report.save(save)
        note(f"saved {save}: {', '.join(path.name for path in files)}, and a report of each seed")


def _require_series(lifelong: bool, compatibility: bool, reencoded: bool, others: list[str]) -> None:
    if lifelong and compatibility:
        raise UsageError("--lifelong and --compatibility are different questions; ask one at a time")
    if reencoded and not lifelong:
        raise UsageError("--reencoded belongs to --lifelong")
    if others:
        raise UsageError(f"{', '.join(others)} is for one model; a series is given as folders, oldest first")


def _series(
    targets: tuple[Path, ...],
    settings: Settings,
    protocol: Protocol | None,
    task: str | None,
    *,
    lifelong: bool,
    reencoded: bool,
) -> EvaluationReport:
    from deephash.scoring.series import evaluate_compatibility, evaluate_lifelong
    from deephash.scoring.stages import compatibility_models, lifelong_stages

    if lifelong:
        stages = lifelong_stages(targets, task=task, reencoded=reencoded)
        return evaluate_lifelong(stages, settings=settings, protocol=protocol, reencoded=reencoded)
    return evaluate_compatibility(compatibility_models(targets, task=task), settings=settings, protocol=protocol)


def _sources(targets: tuple[Path, ...], query: Path | None, database: Path | None) -> tuple[Path, Path | None]:
    if len(targets) > 1:
        raise UsageError(f"--query and --database are two sides of one model; leave out {', '.join(map(str, targets))}")
    if targets and query is None and database is None:
        if targets[0].suffix == ".npz":
            raise UsageError(f"two sides are needed: deephash evaluate --query {targets[0]} --database OTHER.npz")
        return targets[0], None
    if not targets and query is not None and database is not None:
        return query, database
    raise UsageError("give a run folder or a collection, or both --query FILE.npz and --database FILE.npz")


def _read_protocol(text: str | None) -> Protocol | None:
    if text is None:
        return None
    if SEPARATOR.strip() not in text:
        return Protocol(dataset=text)
    unset = Protocol()  # what the codes and the options decide is not taken from the string
    return replace(
        Protocol.parse(text),
        metric=unset.metric,
        num_bits=unset.num_bits,
        num_queries=unset.num_queries,
        num_database=unset.num_database,
    )


def _hand_over(report: EvaluationReport, folder: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(report_to_data(report))
    else:
        report.print_table()
    if folder is not None:
        files = report.save(folder, pictures=True)
        note(f"saved {folder}: {', '.join(path.name for path in files)}")
