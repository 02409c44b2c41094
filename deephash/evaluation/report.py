"""EvaluationReport: figures with range, interval and protocol, as JSON, Markdown, table and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import DataError, FormatTooNew, UsageError, did_you_mean
from deephash.evaluation.additions import Attack
from deephash.evaluation.figures import ClassFigure, Figure, HardQuery, Series
from deephash.evaluation.protocol import Protocol
from deephash.evaluation.relevance import ListedPairs
from deephash.evaluation.scores import Settings
from deephash.foreign import Absent, Unfit, parse_json, read_bytes, refused_as, require_schema

if TYPE_CHECKING:
    from PIL.Image import Image

SCHEMA = 2
REPORT_FILE = "report.json"
PER_QUERY_FILE = "per_query.npz"
LONGEST = 16 * 2**20  # bytes of a report.json that is read


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Everything one evaluation found.

    Attributes:
        method: what made the codes, in the caller's words.
        protocol: of the headline figure.
        figures: headline first.
        per_class: headline metric by class; empty without classes.
        curves: name -> list of numbers, see docs/formats.md.
        health: code health of the database (and ``query``).
        hubness: how unevenly the items turn up among the nearest of the queries; see
            :class:`~deephash.evaluation.hubness_measures.Hubness`. Empty in reports of schema 1.
        series: scores of several models behind a lifelong or compatibility figure; None for one model.
        counts: queries and items that were left out or stand out, and why.
        baselines: name -> figures of the same metrics, from the same features.
        hardest: queries with the lowest headline value.
        timings: seconds by step.
        environment: versions and machine.
        warnings: what a reader must know before quoting a figure.
        created: UTC time, ISO 8601.
        per_query: columns of one number a query, for paired tests; kept in ``per_query.npz``.
        open_picture: turns an item's name into its picture, where pictures are at hand; not kept.
    """

    method: str
    protocol: Protocol
    figures: tuple[Figure, ...]
    per_class: tuple[ClassFigure, ...] = ()
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    health: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    hubness: Mapping[str, float | int] = field(default_factory=dict)
    series: Series | None = None
    counts: Mapping[str, float | int] = field(default_factory=dict)
    baselines: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    hardest: tuple[HardQuery, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    created: str = ""
    per_query: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    open_picture: Callable[[str], Image] | None = None

    @property
    def headline(self) -> Figure:
        """The first figure."""
        return self.figures[0]

    def figure(self, metric: str) -> Figure:
        """Return the first figure of a metric, e.g. ``report.figure("P@100").value``."""
        for figure in self.figures:
            if metric in (figure.metric, figure.label):
                return figure
        raise UsageError(f"this report has no {metric!r}{did_you_mean(metric, [each.label for each in self.figures])}")

    # Faces -----------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the report as JSON of the schema in docs/formats.md (per-query columns are kept beside it)."""
        from deephash.evaluation.report_json import report_to_data

        return json.dumps(report_to_data(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = "report") -> EvaluationReport:
        """Read :meth:`to_json`. Raises DataError for anything else, FormatTooNew for a newer schema."""
        from deephash.evaluation.report_json import report_from_data

        with refused_as(DataError, "`deephash evaluate` writes reports"):
            data = parse_json(text, source)
            if not isinstance(data.get("schema"), int) or isinstance(data["schema"], bool):
                raise Unfit(f"{source} is no evaluation report: it has no schema number")
            if data["schema"] > SCHEMA:
                raise FormatTooNew(
                    f"{source} has report schema {data['schema']}; this deephash reads up to {SCHEMA}: upgrade it"
                )
        with refused_as(DataError, "it is a damaged evaluation report"):
            require_schema(data, "report", source)
        try:
            return report_from_data(data)
        except UsageError as error:  # protocol strings have rules of their own
            raise DataError(f"{source} is a damaged evaluation report: {error}") from None

    def to_markdown(self, *, pictures: Sequence[str] = ()) -> str:
        """Return the report as one Markdown page that shows ``pictures`` (file names of :meth:`plot`)."""
        from deephash.evaluation.report_text import report_to_markdown

        return report_to_markdown(self, pictures)

    def __str__(self) -> str:
        from deephash.evaluation.report_text import report_to_table

        return report_to_table(self)

    def print_table(self) -> None:
        """Print the figures, the state of the codes, warnings and the protocol."""
        print(self)

    def plot(self, directory: str | Path) -> list[Path]:
        """Draw the pictures into a folder and return their paths; see ``deephash.evaluation.plots``."""
        from deephash.evaluation.plots import draw_report

        return draw_report(self, Path(directory))

    # On disk ---------------------------------------------------------------------------------------

    def save(self, directory: str | Path, *, pictures: bool = False) -> list[Path]:
        """Write ``report.json``, ``report.md``, ``per_query.npz`` and, where wanted, the pictures; return the files."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        drawn = self.plot(folder) if pictures else []
        columns: dict[str, Any] = dict(self.per_query)
        np.savez_compressed(folder / PER_QUERY_FILE, **columns)
        page = self.to_markdown(pictures=[path.name for path in drawn])
        (folder / "report.md").write_text(page, encoding="utf-8")
        (folder / REPORT_FILE).write_text(self.to_json(), encoding="utf-8")
        return [folder / REPORT_FILE, folder / "report.md", folder / PER_QUERY_FILE, *drawn]

    @classmethod
    def load(cls, path: str | Path) -> EvaluationReport:
        """Read a ``report.json``, or the one in a folder, with its per-query columns where they lie beside it."""
        from deephash.evaluation.report_json import read_per_query

        file = Path(path)
        file = file / REPORT_FILE if file.is_dir() else file
        try:
            content = read_bytes(file, LONGEST)
        except Absent:
            raise DataError(f"{file}: no such report; `deephash evaluate ... --save DIR` writes one") from None
        report = cls.from_json(content, source=str(file))
        beside = file.with_name(PER_QUERY_FILE)
        if not os.path.lexists(beside):
            return report
        with refused_as(DataError, "evaluate again, or remove that file: the report then has no paired tests"):
            return replace(report, per_query=read_per_query(beside))


def evaluate_codes(
    query: BinaryCodes,
    database: BinaryCodes,
    query_labels: ArrayLike | None,
    database_labels: ArrayLike | None,
    *,
    settings: Settings | None = None,
    protocol: Protocol | None = None,
    method: str = "codes",
    class_names: Sequence[str] = (),
    query_names: ArrayLike | None = None,
    database_names: ArrayLike | None = None,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    attack: Attack | None = None,
    own: NDArray[np.int64] | None = None,
    listed: ListedPairs | None = None,
) -> EvaluationReport:
    """Score codes against codes.

    Unlabelled queries are left out and counted; unlabelled database items stay, as wrong answers, and are counted.

    Args:
        query: Q codes.
        database: N codes of the same length.
        query_labels: class numbers [Q] (-1: unlabelled) or multi-hot [Q, C]; None on both sides where the own pair is
            all there is to find.
        database_labels: the same for the database.
        settings: what is measured; see :class:`Settings`.
        protocol: what is known about the data and the model (dataset, split, backbone, task ...); the fields that the
            settings and the codes decide are filled in.
        method: what made the codes.
        class_names: words, in the order of the class numbers.
        query_names: one name a query; with ``database_names`` queries inside the database are found.
        database_names: one name a database item.
        pairs: pair numbers [Q] and [N] (-1: none) for hits at instance level: a picture and its captions, for example.
        attack: the same queries after an attack, for t-mAP and the mAP they lose.
        own: leave-one-out: the database row that each query is, [Q]; it is taken out of that query's ranking.
        listed: right and ignored items of each query, in place of labels (ROxford: easy, medium, hard; junk).

    Raises:
        UsageError: arrays that do not fit, no labelled query, no query with a right answer, a cut-off out of range.
    """
    from deephash.evaluation.assembling import assemble
    from deephash.evaluation.report_sides import Beyond, Sides

    options = settings or Settings()
    labels = (query_labels, database_labels)
    instead = query_labels is None and database_labels is None
    if instead and pairs is not None:
        labels = pairs
    if listed is not None:
        if not instead or pairs is not None or attack is not None or own is not None or options.legacy is not None:
            raise UsageError("listed items stand alone: no labels, pairs, attack, leave-one-out or legacy script")
        labels = (np.zeros(len(query), np.int64), np.zeros(len(database), np.int64))  # all are scored, none by a label
    if labels[0] is None or labels[1] is None:
        raise UsageError("without labels on both sides, or pairs, nothing says what is relevant")
    if attack is not None and (instead or options.empty == "drop"):
        raise UsageError("an attack is scored by labels, and a query that finds nothing counts 0 (empty='zero')")
    if own is not None and (pairs is not None or attack is not None or options.legacy is not None):
        raise UsageError("leave-one-out is scored by labels alone, without pairs, an attack or a legacy script")
    if options.folds != 1 and pairs is None:
        raise UsageError(f"folds={options.folds} cuts pairs into parts, and there are no pairs")
    sides = replace(Sides.of(query, database, labels[0], labels[1], query_names, database_names, own), listed=listed)
    beyond = Beyond(pairs, instead, attack)
    return assemble(sides, options, protocol or Protocol(), method, tuple(class_names), beyond)
