"""The models of a collection, for ``collection info``: their rows, and what was measured when each was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deephash.cli.output import table
from deephash.collection import Collection
from deephash.collection.model_versions import ModelVersion
from deephash.collection.schema import MODEL_VERSION

_CELLS = ("old/old", "new/old", "new/new")


def model_record(opened: Collection, version: ModelVersion) -> dict[str, Any]:
    """Return one model as JSON values, with the number of rows whose code it made."""
    measured = {name: value for name, value in version.evidence.items() if not name.startswith("chance")}
    return {
        "number": version.number,
        "model": version.model,
        "fingerprint": version.fingerprint,
        "rows": _rows_of(opened, version.number),
        "codes": version.column,
        "published": version.published or None,
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
                _word(each["measured"]),
            )
            for each in judged
        ]
        parts += ["", table(cells, ("upgrade", *(f"{name} (queries/codes)" for name in _CELLS), "verdict"))]
        parts += [judged[-1]["measured"].get("protocol", "")]
    return "\n".join(parts)


def _rows_of(opened: Collection, number: int) -> int:
    if len(opened.model_versions) == 1:
        return len(opened)
    column = opened.table([MODEL_VERSION]).column(MODEL_VERSION).to_numpy()
    return int(np.count_nonzero(column == number))


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "-"


def _word(measured: dict[str, Any]) -> str:
    if measured.get("compatible"):
        return "compatible"
    return "not compatible, forced" if measured.get("forced") else "not compatible, encoded anew"
