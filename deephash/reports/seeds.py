"""SeedReport: reports of one recipe with several seeds, as mean, spread and interval over the seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deephash.reports.protocol import Protocol
from deephash.reports.report import EvaluationReport
from deephash.reports.spread import Spread, spread_of

SEEDS_FILE = "seeds.json"
FORMAT = 1
_HEADER = ("metric", "mean ± spread", "95 % interval over seeds", "each seed")


@dataclass(frozen=True)
class SeedFigure:
    """One metric over all seeds: its label, what it means (of the first run), and its values."""

    label: str
    protocol: Protocol
    over_seeds: Spread


@dataclass(frozen=True, eq=False)
class SeedReport:
    """Runs that differ in their seed only.

    Attributes:
        method: of all of them.
        seeds: one a run; the run's name where its seed is not known.
        reports: one a run; intervals over queries stay in there.
    """

    method: str
    seeds: tuple[str, ...]
    reports: tuple[EvaluationReport, ...]

    @property
    def protocol(self) -> Protocol:
        """Of the headline figure."""
        return self.reports[0].protocol

    @property
    def figures(self) -> tuple[SeedFigure, ...]:
        """The metrics that all runs have, headline first."""
        tables = [{figure.label: figure.value for figure in report.figures} for report in self.reports]
        return tuple(
            SeedFigure(figure.label, figure.protocol, spread_of([table[figure.label] for table in tables]))
            for figure in self.reports[0].figures
            if all(figure.label in table for table in tables)
        )

    # Faces -------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        lines = [_HEADER, *self._rows()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
        cells = ["   ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]
        warnings = dict.fromkeys(warning for report in self.reports for warning in report.warnings)
        ends = [*(f"warning: {warning}" for warning in warnings), f"protocol: {self.protocol}"]
        return "\n".join([self._title(), *cells, *ends])

    def to_markdown(self) -> str:
        """Return one page: the table, the seeds, the protocol of each figure."""
        lines = [_HEADER, ["---"] * len(_HEADER), *([_cell(cell) for cell in row] for row in self._rows())]
        blocks = [
            f"# {self._title()}",
            f"`{self.protocol}`",
            "\n".join(f"| {' | '.join(line)} |" for line in lines),
            "Spread is the sample standard deviation over seeds, the interval Student's t. The interval over queries "
            "of each run is in its own report.",
            "## Protocol of each figure\n\n" + "\n".join(f"- `{figure.protocol}`" for figure in self.figures),
        ]
        return "\n\n".join(blocks) + "\n"

    def to_data(self) -> dict[str, Any]:
        """Return plain data, as ``evaluate --json`` prints it."""
        return {
            "format_version": FORMAT,
            "method": self.method,
            "num_bits": self.protocol.num_bits,
            "protocol": str(self.protocol),
            "seeds": list(self.seeds),
            "figures": [
                {
                    "metric": figure.label,
                    "mean": figure.over_seeds.mean,
                    "spread": figure.over_seeds.spread,
                    "low": figure.over_seeds.low,
                    "high": figure.over_seeds.high,
                    "values": list(figure.over_seeds.values),
                    "protocol": str(figure.protocol),
                }
                for figure in self.figures
            ],
        }

    def save(self, directory: str | Path) -> list[Path]:
        """Write ``seeds.json``, ``seeds.md`` and each run's report into ``seed_N/``; return the first two."""
        folder = Path(directory)
        for seed, report in zip(self.seeds, self.reports):
            report.save(folder / f"seed_{seed}")
        page, data = folder / "seeds.md", folder / SEEDS_FILE
        page.write_text(self.to_markdown(), encoding="utf-8")
        text = json.dumps(self.to_data(), indent=1, ensure_ascii=False, allow_nan=False)
        data.write_text(text + "\n", encoding="utf-8")
        return [data, page]

    def _title(self) -> str:
        bits, short = self.protocol.num_bits, self.protocol.short()
        return f"{self.method}, {bits} bits, {short}, {len(self.seeds)} seeds: {', '.join(self.seeds)}"

    def _rows(self) -> list[Sequence[str]]:
        rows: list[Sequence[str]] = []
        for figure in self.figures:
            found = figure.over_seeds
            interval = "-" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
            rows.append((figure.label, str(found), interval, " ".join(f"{value:.4f}" for value in found.values)))
        return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
