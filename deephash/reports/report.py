"""EvaluationReport: figures with range, interval and protocol, as JSON, Markdown, table and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deephash.errors import DataError, FormatTooNew, UsageError
from deephash.faces import as_frame
from deephash.foreign import Absent, Unfit, parse_json, read_bytes, refused_as, require_schema
from deephash.reports.plots import draw_report
from deephash.reports.record import Record
from deephash.reports.report_json import SCHEMA, fields_from_data, read_per_query, report_to_data
from deephash.reports.report_text import report_to_html, report_to_markdown, report_to_table

REPORT_FILE = "report.json"
PER_QUERY_FILE = "per_query.npz"
LONGEST = 16 * 2**20  # bytes of a report.json that is read


class EvaluationReport(Record):
    """A record with its faces: JSON, Markdown, table, pictures, and the files of a folder."""

    # Faces -----------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the report as JSON of the schema in docs/formats.md (per-query columns are kept beside it)."""
        return json.dumps(report_to_data(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = "report") -> EvaluationReport:
        """Read :meth:`to_json`. Raises DataError for anything else, FormatTooNew for a newer schema."""
        with refused_as(DataError, "is it a damaged evaluation report? `deephash evaluate` writes them"):
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
            return cls(**fields_from_data(data))
        except UsageError as error:  # protocol strings have rules of their own
            raise DataError(f"{source} is a damaged evaluation report: {str(error)[:300]}") from None

    def to_markdown(self, *, pictures: Sequence[str] = ()) -> str:
        """Return the report as one Markdown page that shows ``pictures`` (file names of :meth:`plot`)."""
        return report_to_markdown(self, pictures)

    def __str__(self) -> str:
        return report_to_table(self)

    def to_arrow(self) -> Any:
        """Return the figures as an Arrow table, one row each, with interval, range over tie orders and protocol."""
        import pyarrow as pa

        names = ("value", "low", "high", "pessimistic", "optimistic")
        rows = [{"metric": each.label, **{name: getattr(each, name) for name in names}} for each in self.figures]
        return pa.Table.from_pylist([{**row, "protocol": str(each.protocol)} for row, each in zip(rows, self.figures)])

    def to_pandas(self) -> Any:
        """Return :meth:`to_arrow` as a data frame."""
        return as_frame(self.to_arrow())

    def _repr_html_(self) -> str:
        return report_to_html(self)

    def print_table(self) -> None:
        """Print the figures, the state of the codes, warnings and the protocol."""
        print(self)

    def plot(self, directory: str | Path) -> list[Path]:
        """Draw the pictures into a folder and return their paths; see ``deephash.reports.plots``."""
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
