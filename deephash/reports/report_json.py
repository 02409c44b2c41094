"""The JSON form of a report: plain data out, plain data in. The schema is written out in docs/formats.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deephash.foreign import Unfit, read_npz
from deephash.reports.protocol import Protocol
from deephash.reports.record import ClassFigure, Figure, HardQuery, Record, Series

SCHEMA = 2


def report_to_data(report: Record) -> dict[str, Any]:
    """Return a report as dictionaries, lists, strings and finite numbers."""
    return {
        "schema": SCHEMA,
        "created": report.created,
        "method": report.method,
        "num_bits": report.protocol.num_bits,
        "protocol": str(report.protocol),
        "protocol_fields": asdict(report.protocol),
        "figures": [_figure_to_data(figure) for figure in report.figures],
        "per_class": [asdict(each) for each in report.per_class],
        "curves": {name: [_finite(value) for value in values] for name, values in report.curves.items()},
        "health": {
            side: {key: _finite(value) for key, value in found.items()} for side, found in report.health.items()
        },
        "hubness": dict(report.hubness),
        "series": None if report.series is None else asdict(report.series),
        "counts": dict(report.counts),
        "baselines": {name: [_figure_to_data(figure) for figure in found] for name, found in report.baselines.items()},
        "hardest": [asdict(each) for each in report.hardest],
        "timings": dict(report.timings),
        "environment": dict(report.environment),
        "warnings": list(report.warnings),
    }


def fields_from_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the record that :func:`report_to_data` wrote."""
    return {
        "method": str(data["method"]),
        "protocol": Protocol.parse(data["protocol"]),
        "figures": tuple(_figure_from_data(figure) for figure in data["figures"]),
        "per_class": tuple(ClassFigure(**each) for each in data["per_class"]),
        "curves": {name: list(values) for name, values in data["curves"].items()},
        "health": {side: dict(found) for side, found in data["health"].items()},
        "hubness": dict(data.get("hubness", {})),  # since schema 2, as the series
        "series": _series(data.get("series")),
        "counts": dict(data["counts"]),
        "baselines": {name: tuple(map(_figure_from_data, found)) for name, found in data["baselines"].items()},
        "hardest": tuple(_hard_query(each) for each in data["hardest"]),
        "timings": dict(data["timings"]),
        "environment": dict(data["environment"]),
        "warnings": tuple(data["warnings"]),
        "created": str(data["created"]),
    }


def read_per_query(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of ``per_query.npz``: one entry a query in each, numbers but for names and labels.

    Raises:
        Unfit: damaged, or columns that are something else.
    """
    columns = read_npz(path)
    for name, column in columns.items():
        kinds = {"names": "U", "row": "iu", "labels": "biufUS"}.get(name, "iuf")
        if column.dtype.kind not in kinds or column.ndim not in ((1, 2) if name == "labels" else (1,)):
            raise Unfit(
                f"{path} cannot be read: its column {name[:60]!r} is {column.dtype} of shape {list(column.shape)}"
            )
    if len({len(column) for column in columns.values()}) > 1:
        raise Unfit(f"{path} cannot be read: its columns are of different lengths")
    return columns


def _figure_to_data(figure: Figure) -> dict[str, Any]:
    numbers = {name: _finite(getattr(figure, name)) for name in ("value", "pessimistic", "optimistic", "low", "high")}
    return {"metric": figure.metric, "label": figure.label, **numbers, "protocol": str(figure.protocol)}


def _figure_from_data(data: Mapping[str, Any]) -> Figure:
    ends = {name: data[name] for name in ("pessimistic", "optimistic", "low", "high")}
    return Figure(data["metric"], float(data["value"]), Protocol.parse(data["protocol"]), **ends)


def _series(data: Mapping[str, Any] | None) -> Series | None:
    if data is None:
        return None
    scores = tuple(tuple(float(value) for value in row) for row in data["scores"])
    seconds = tuple(float(value) for value in data.get("seconds", ()))
    return Series(str(data["kind"]), str(data["metric"]), tuple(data["names"]), scores, seconds)


def _hard_query(data: Mapping[str, Any]) -> HardQuery:
    labels, nearest = tuple(data["labels"]), tuple(data["nearest"])
    distances, relevant = tuple(data.get("distances", ())), tuple(data.get("relevant", ()))  # since schema 2
    return HardQuery(int(data["row"]), data["name"], labels, float(data["value"]), nearest, distances, relevant)


def _finite(value: float | int | None) -> float | int | None:
    """JSON knows no NaN."""
    return None if value is None or (isinstance(value, float) and not math.isfinite(value)) else value
