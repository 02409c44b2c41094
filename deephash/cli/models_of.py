"""The models of a collection, for ``collection info``: their rows, and what was measured when each was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deephash.cli.output import table
from deephash.collection import Collection
from deephash.collection.model_versions import ModelVersion

_CELLS = ("old/old", "new/old", "new/new")


def model_records(opened: Collection) -> list[dict[str, Any]]:
    """Return the models as JSON values, each with the number of rows whose code it made."""
    rows = opened.rows_by_model()
    return [_record(version, rows[version.number]) for version in opened.model_versions]


def _record(version: ModelVersion, rows: int) -> dict[str, Any]:
    measured = {name: value for name, value in version.evidence.items() if not name.startswith("chance")}
    return {
        "number": version.number,
        "model": version.model,
        "fingerprint": version.fingerprint,
        "rows": rows,
        "codes": version.column,
        "published": version.published or None,
        "verdict": version.verdict or None,
        "measured": measured or None,
    }


def models_text(models: Sequence[dict[str, Any]]) -> str:
    """Return the models and the compatibility matrix of each upgrade as text."""
    head = ("model version", "rows", "codes", "model", "published")
    rows = [
        (
            each["number"],
            each["rows"],
            each["codes"],
            f"{each['model']} {each['fingerprint']}",
            each["published"] or "-",
        )
        for each in models
    ]
    parts = ["", table(rows, head)]
    judged = [each for each in models if each["measured"] and each["measured"].get("figures")]
    if judged:
        cells = [
            (
                f"{each['number'] - 1} -> {each['number']}",
                *(_cell(each["measured"]["figures"].get(name)) for name in _CELLS),
                each["verdict"],
            )
            for each in judged
        ]
        parts += ["", table(cells, ("upgrade", *(f"{name} (queries/codes)" for name in _CELLS), "verdict"))]
        parts += [judged[-1]["measured"].get("protocol", "")]
    return "\n".join(parts)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "-"
