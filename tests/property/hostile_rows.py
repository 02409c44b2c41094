"""Hostile Lance rows of a collection."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

Change = Callable[[Path, random.Random], None]


def _rewritten(make: Callable[[pa.Table], pa.Table]) -> Change:
    def change(folder: Path, draw: random.Random) -> None:
        path = folder / "rows.lance"
        table = lance.dataset(str(path)).to_table()
        shutil.rmtree(path)
        lance.write_dataset(make(table), str(path))

    return change


def _column(name: str, values: Any, kind: pa.DataType | None = None, **facts: str) -> Change:
    def make(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        array = pa.array(values(table.column(name).to_pylist()), kind or table.schema.field(name).type)
        metadata = dict(table.schema.field(name).metadata or {}) | {k.encode(): v.encode() for k, v in facts.items()}
        return table.set_column(place, pa.field(name, array.type, metadata=metadata), array)

    return _rewritten(make)


def row_changes() -> dict[str, Change]:
    """Return ways to change ``rows.lance``."""
    listed = pa.list_(pa.uint8())
    same: Callable[[list[Any]], list[Any]] = lambda old: old  # noqa: E731
    ways = {
        f"{name} gone": _rewritten(lambda table, name=name: table.drop_columns([name]))
        for name in ("id", "uri", "content_hash", "code", "vector", "label")
    }
    ways |= {
        f"code says {key} {value[:12]!r}": _column("code", same, **{f"deephash:{key}": value})
        for key, values in {
            "num_bits": ("1000000000000", "1000000", "-5", "0", "x", "16.0", "", "१६", "8", "1" * 5000),
            "num_levels": ("1000000000000", "0", "-1", "2", "x"),
            "fingerprint": ("../../../../etc", "/etc", "", "a" * 5000, "no-such-model"),
            "model": ("\x1b[2J", "x" * 5000),
        }.items()
        for value in values
    }
    return ways | {
        "codes of floats": _column(
            "code", lambda old: [list(map(float, row)) for row in old], pa.list_(pa.float32(), 2)
        ),
        "codes of lists": _column("code", same, listed),
        "codes of text": _column("code", lambda old: ["ab"] * len(old), pa.string()),
        "codes of int64": _column("code", same, pa.list_(pa.int64(), 2)),
        "codes too wide": _column("code", lambda old: [row * 2 for row in old], pa.list_(pa.uint8(), 4)),
        "codes null": _column("code", lambda old: [None, *old[1:]]),
        "codes half null": _column("code", lambda old: [[None, 1], *old[1:]]),
        "all codes null": _column("code", lambda old: [None] * len(old)),
        "ids null": _column("id", lambda old: [None, *old[1:]]),
        "ids twice": _column("id", lambda old: [3] * len(old)),
        "ids negative": _column("id", lambda old: [-5, *old[1:]]),
        "ids huge": _column("id", lambda old: [2**63 - 1 - n for n in range(len(old))]),
        "ids of text": _column("id", lambda old: list(map(str, old)), pa.string()),
        "ids of floats": _column("id", lambda old: [n + 0.5 for n in old], pa.float64()),
        "uris null": _column("uri", lambda old: [None, *old[1:]]),
        "uris twice": _column("uri", lambda old: ["a"] * len(old)),
        "uris that leave": _column("uri", lambda old: ["../../../etc/passwd", "/etc/passwd", *old[2:]]),
        "uris with NUL": _column("uri", lambda old: ["a\x00b", "x" * 5000, *old[2:]]),
        "uris inside that leave": _column("uri", lambda old: ["collection:../../x", "collection:/dev/zero", *old[2:]]),
        "uris of bytes": _column("uri", lambda old: [word.encode() for word in old], pa.binary()),
        "year of text": _column("year", lambda old: ["x"] * len(old), pa.string()),
        "label of numbers": _column("label", lambda old: [1] * len(old), pa.int64()),
        "vectors of float64": _column("vector", same, pa.list_(pa.float64(), 4)),
        "vectors null": _column("vector", lambda old: [None] * len(old)),
        "vectors of infinity": _column("vector", lambda old: [[float("inf")] * 4 for _ in old]),
        "hub biases of text": _column("hub_bias_image", lambda old: ["x"] * len(old), pa.string()),
        "no rows": _rewritten(lambda table: table.slice(0, 0)),
        "a column of structures": _rewritten(lambda t: t.append_column("s", pa.array([{"a": 1}] * len(t)))),
        "a column with an odd name": _rewritten(lambda t: t.append_column("a b;--", pa.array([1] * len(t)))),
        "more than there are": _claimed_rows,
    }


def _claimed_rows(folder: Path, draw: random.Random) -> None:
    """Say in every manifest that a part has 127 rows, not 20."""
    for manifest in (folder / "rows.lance" / "_versions").iterdir():
        manifest.write_bytes(manifest.read_bytes().replace(b"\x20\x14", b"\x20\x7f"))
