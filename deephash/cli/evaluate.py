"""``deephash evaluate``: exact retrieval figures of a run, a collection or anybody's code files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from deephash.cli.output import note, print_json
from deephash.errors import UsageError
from deephash.evaluation.protocol import SEPARATOR, Protocol
from deephash.evaluation.report import EvaluationReport
from deephash.evaluation.report_json import report_to_data
from deephash.evaluation.scores import Settings


def evaluate(
    target: Path | None = None,
    /,
    *,
    query: Path | None = None,
    database: Path | None = None,
    top_k: int | None = None,
    ties: str = "expected",
    normalize: Literal["hits", "min", "total", "first-k"] = "hits",
    empty: Literal["zero", "drop"] = "zero",
    radius: int = 2,
    ranks: tuple[int, ...] = (1, 10, 100),
    legacy: str | None = None,
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
    $ deephash evaluate pictures.dh --label category
    $ deephash evaluate --query q.npz --database d.npz --top-k 1000 --json

    An .npz holds `codes` (packed uint8, 0/1 or -1/+1) and `labels` (class numbers, or multi-hot rows); docs/formats.md
    has the rest. Nothing is read from it that could run code.

    Args:
        target: a run folder, or a collection whose items have labels.
        query: .npz of the codes that ask; give --database too.
        database: .npz of the codes that are searched.
        top_k: R of mAP@R; the whole database when left out.
        ties: how equal distances are ordered: expected (exact mean), optimistic, pessimistic, stable, random:SEED.
        normalize: denominator of AP@R; `min` is printed beside it.
        empty: a query that finds nothing in the top R counts 0, or is dropped.
        radius: of the hash look-up figures, inclusive.
        ranks: N of P@N and R@N.
        legacy: also print what a public repository would: deephash-pytorch, hashnet, csq, orthohash, dcmh, ...
        protocol: name of the split, e.g. cifar10-i/v1, or a whole protocol string.
        method: name of the codes in tables.
        baselines: score random bits, LSH, PCA-sign, ITQ, class codes and exact cosine on the same features.
        task: of a cross-modal model: which side asks which.
        label: attribute of a collection that is the class.
        queries: items of a collection that ask, at most.
        resamples: bootstrap samples behind the 95 % intervals; 0 for none.
        seed: of everything drawn.
        save: folder for report.json, report.md, per_query.npz and the pictures.
        json: print the report as one JSON object.
    """
    settings = Settings(top_k, ties, normalize, empty, radius, ranks, resamples, seed, legacy)
    source, data = _sources(target, query, database)
    from deephash.scoring.targets import evaluate as score

    report = score(
        source,
        data,
        settings=settings,
        protocol=_read_protocol(protocol),
        method=method,
        baselines=baselines,
        task=task,
        label=label,
        num_queries=queries,
        seed=seed,
    )
    _hand_over(report, save, json)


def _sources(target: Path | None, query: Path | None, database: Path | None) -> tuple[Path, Path | None]:
    if target is not None and query is None and database is None:
        if target.suffix == ".npz":
            raise UsageError(f"two sides are needed: deephash evaluate --query {target} --database OTHER.npz")
        return target, None
    if target is None and query is not None and database is not None:
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
