"""Section: a part of a report, which may add columns, figures, data and warnings.

A new question is a new subclass, given to :class:`~deephash.reports.assembling.Question` as ``sections=[...]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from deephash.evaluation.scores import Column
from deephash.evaluation.settings import Settings
from deephash.reports.protocol import Protocol
from deephash.reports.record import Figure, Record
from deephash.reports.sides import Sides


@dataclass(frozen=True, eq=False)
class Case:
    """What is scored.

    Attributes:
        sides: codes, labels and names, and what makes an item right.
        settings: what is measured, by which conventions.
        protocol: all of it but the metric and the number of queries.
        class_names: words, in the order of the class numbers.
        checks_overlap: whether a query that is in the database too is an error.
    """

    sides: Sides
    settings: Settings
    protocol: Protocol
    class_names: tuple[str, ...] = ()
    checks_overlap: bool = True


class Section:
    """A part of a report of one case; says nothing unless a method says otherwise."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def columns(self) -> Iterable[tuple[Column, str]]:
        """Return metrics of one number a query, each with what makes an item right."""
        return ()

    def figures(self, headline: Figure) -> Iterable[Figure]:
        """Return figures that are no mean of a column, given the first one that is."""
        return ()

    def data(self, headline: Column) -> Mapping[str, Any]:
        """Return fields of the record."""
        return {}

    def warnings(self, record: Record) -> Iterable[str]:
        """Return what a reader must know before quoting a figure."""
        return ()


MakeSection: TypeAlias = Callable[[Case], Section]
