"""``deephash.evaluate``: one function for everything that can be scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deephash.errors import DataError, UsageError, did_you_mean
from deephash.evaluation.codefile import CodeFile, common_labels, common_pairs, listed_items, own_rows, read_code_file
from deephash.evaluation.settings import Settings
from deephash.reports.assembling import Question, answer
from deephash.reports.protocol import Protocol
from deephash.reports.report import EvaluationReport
from deephash.reports.sections import MakeSection
from deephash.scoring.attacks import attack_of
from deephash.scoring.sides import (
    DATABASE_FILE,
    QUERY_FILE,
    TASKS,
    CodePair,
    Draw,
    collection_pair,
    is_folder_of_codes,
)

if TYPE_CHECKING:
    from deephash.collection import Collection
    from deephash.data import HashDataModule
    from deephash.models import HashModel

    Target = str | Path | CodeFile | HashModel | Collection
    Data = str | Path | CodeFile | HashDataModule


def evaluate(
    target: Target,
    data: Data | None = None,
    *,
    settings: Settings | None = None,
    protocol: Protocol | None = None,
    method: str | None = None,
    baselines: bool = False,
    task: str | None = None,
    label: str = "label",
    num_queries: int = 1000,
    seed: int = 0,
    attacked: str | Path | CodeFile | None = None,
    leave_one_out: bool = False,
    held_out: bool = False,
) -> EvaluationReport:
    """Score a model on a data set, a run folder, a collection, or codes against codes.

    | ``target``                 | ``data``                                                              |
    |----------------------------|-----------------------------------------------------------------------|
    | query ``.npz`` or CodeFile | database ``.npz``, CodeFile, or a collection                          |
    | collection, or its folder  | None; some items ask, the rest is searched, an attribute is the label |
    | run folder                 | None takes the run's own data set; or a data module                   |
    | model, or its folder       | a data module: its ``query`` split against its ``database`` split     |
    | folder                     | None; holds ``query.npz`` and ``database.npz``                        |

    Args:
        target: what is scored.
        data: what it is scored on.
        settings: what is measured; see :class:`Settings`.
        protocol: what is known about the data, where the files do not say so.
        method: name for tables; by default the model's class or the file's name.
        baselines: also score random bits, LSH, PCA-sign, ITQ, class codes and exact cosine on the same features.
        task: which side asks which, ``i2t``, ``t2i``, ``i2i`` or ``t2t``; None is ``i2t`` for a cross-modal model.
        label: attribute of a collection that holds the class.
        num_queries: items of a collection that ask, at most.
        seed: of the draw of those items, and of random baselines.
        attacked: codes of the same queries after an attack (``.npz`` or CodeFile; matched by name, else by order), with
            ``targets`` where the attack aimed at labels: adds attacked mAP, its drop, t-mAP and ASR.
        leave_one_out: the queries are database items (matched by name, else by order); each searches all the others.
        held_out: only items of a collection ask that its model was not trained on.

    Returns:
        The report; ``print(report)``, ``report.figure("mAP@all").value``, ``report.save(folder, pictures=True)``.

    Raises:
        UsageError: nothing that can be scored, or labels and codes that do not fit.
        DataError: files that are missing or damaged.
    """
    pair = _pair_of(target, data, task, Draw(label, num_queries, seed, held_out))
    codes = None if attacked is None else _as_file(attacked)
    report = evaluate_pair(pair, Asked(settings, protocol, method, baselines, seed, codes, leave_one_out))
    return _with_origin(report, target)


def _with_origin(report: EvaluationReport, target: Target) -> EvaluationReport:
    """Keep seed and recipe of a run: by these, reports of several seeds are known to belong together."""
    if not isinstance(target, (str, Path)) or not (Path(target) / "config.yaml").is_file():
        return report
    from deephash.scoring.recipes import origin_of

    return replace(report, environment={**report.environment, **origin_of(target)})


@dataclass(frozen=True)
class Asked:
    """What is asked of two sides, whichever way they came; fields as the arguments of :func:`evaluate`.

    ``sections`` are what else the report is to say, see :mod:`deephash.reports.sections`.
    """

    settings: Settings | None = None
    protocol: Protocol | None = None
    method: str | None = None
    baselines: bool = False
    seed: int = 0
    attacked: CodeFile | None = None
    leave_one_out: bool = False
    sections: tuple[MakeSection, ...] = ()


def evaluate_pair(pair: CodePair, asked: Asked) -> EvaluationReport:
    """Score two sides that are ready; errors as in :func:`evaluate`."""
    question = _question_of(pair, asked)
    report = answer(question)
    report = replace(
        report,
        open_picture=pair.open_picture,
        timings={**pair.timings, **report.timings},
        warnings=(*pair.warnings, *report.warnings),
    )
    if asked.baselines:
        from deephash.scoring.baselines import score_baselines

        report = score_baselines(report, pair, question, asked.seed)
    return report


def _question_of(pair: CodePair, asked: Asked) -> Question:
    """Read what the files say is right: listed items, else labels, else pairs; pairs also beside labels."""
    listed = listed_items(pair.query, pair.database)
    pairs = None if listed is not None else common_pairs(pair.query, pair.database)
    query_labels, database_labels = None, None
    words: tuple[str, ...] = ()
    if listed is None and (pairs is None or _has_labels(pair)):
        query_labels, database_labels, words = common_labels(pair.query, pair.database)
    return Question(
        pair.query.codes,
        pair.database.codes,
        query_labels,
        database_labels,
        settings=asked.settings,
        protocol=_known(pair, asked.protocol),
        method=asked.method or pair.method,
        class_names=words,
        query_names=pair.query.names,
        database_names=pair.database.names,
        pairs=pairs,
        attack=None if asked.attacked is None else attack_of(pair, asked.attacked),
        own=own_rows(pair.query, pair.database) if asked.leave_one_out else None,
        listed=listed,
        sections=asked.sections,
    )


def _has_labels(pair: CodePair) -> bool:
    return pair.query.labels is not None and pair.database.labels is not None


def _pair_of(target: Target, data: Data | None, task: str | None, draw: Draw) -> CodePair:
    collection = _collection_of(target)
    if collection is not None and data is None:
        return collection_pair(collection, draw)
    if draw.held_out:
        raise UsageError("--held-out is for collections: a run is always scored on queries that did not train it")
    is_file = isinstance(target, CodeFile) or (isinstance(target, (str, Path)) and Path(target).suffix == ".npz")
    if is_file or collection is not None:
        given = _given(data)
        return _pair_of_files(_side(target, draw), _side(given, draw), task)
    if data is None and isinstance(target, (str, Path)) and is_folder_of_codes(target):
        return _pair_of_files(Path(target) / QUERY_FILE, Path(target) / DATABASE_FILE, task, method=Path(target).name)
    if isinstance(target, (str, Path)) and not Path(target).is_dir():
        raise DataError(f"{target}: no such run folder, collection or .npz file")
    from deephash.scoring.runs import model_pair

    if isinstance(data, (CodeFile, str, Path)):
        raise UsageError("a model is scored on a data module of deephash.data, e.g. evaluate(model, Digits())")
    return model_pair(target, data, task)


def _side(side: Target | Data, draw: Draw) -> CodeFile:
    """Return one of two sides: what a code file holds, or a whole collection."""
    collection = _collection_of(cast("Target", side))
    if collection is not None:
        from deephash.scoring.collection_side import collection_file

        return collection_file(collection, draw.label)
    if not isinstance(side, (str, Path, CodeFile)):
        raise UsageError(
            f"codes are scored against an .npz file, a collection or a CodeFile, not a {type(side).__name__}"
        )
    return _as_file(side)


def _collection_of(target: Target) -> Collection | None:
    if hasattr(target, "picture_path"):  # asked this way so that Lance is not imported for nothing
        return cast("Collection", target)
    if not isinstance(target, (str, Path)) or not (Path(target) / "collection.json").is_file():
        return None
    from deephash.collection import Collection

    return Collection.open(target)


def _given(data: Data | None) -> Data:
    if data is None:
        raise UsageError("codes are scored against codes: give the database too (--query q.npz --database d.npz)")
    return data


def _pair_of_files(
    target: str | Path | CodeFile, data: Data, task: str | None, *, method: str | None = None
) -> CodePair:
    if not isinstance(data, (str, Path, CodeFile)):
        raise UsageError(f"codes are scored against an .npz file or a CodeFile, not a {type(data).__name__}")
    if task is not None and task not in TASKS:
        raise UsageError(f"no task is called {task!r}{did_you_mean(task, list(TASKS))}")
    query, database = _as_file(target), _as_file(data)
    return CodePair(query, database, method or Path(query.source).stem, Protocol(task=task or Protocol().task))


def _as_file(side: str | Path | CodeFile) -> CodeFile:
    return side if isinstance(side, CodeFile) else read_code_file(side)


def _known(pair: CodePair, given: Protocol | None) -> Protocol:
    """Fields that the caller set win over what the files say."""
    unset = Protocol()
    known = pair.protocol
    for source in (pair.query, pair.database):
        known = replace(
            known,
            dataset=source.protocol if source.protocol and known.dataset == unset.dataset else known.dataset,
            split=source.split if source.split and known.split == unset.split else known.split,
        )
    if given is None:
        return known
    return replace(known, **{name: values[0] for name, values in given.differences(unset, ignoring=()).items()})
