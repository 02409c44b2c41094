"""A collection as a notebook shows it, and as a table of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection.schema import ID, URI
from deephash.errors import DeephashError
from deephash.faces import Html, as_frame, html_picture, html_table
from deephash.pictures import open_picture

SIDE = 96  # pixels of a small picture
_SHOWN = 8


class _Shown(Protocol):
    path: Path

    @property
    def num_bits(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def current(self) -> Any: ...
    @property
    def attribute_kinds(self) -> Mapping[str, str]: ...
    def __len__(self) -> int: ...
    def ids(self) -> NDArray[Any]: ...
    def items(self, ids: Any) -> list[Any]: ...
    def codes(self, column: str | None = None) -> tuple[NDArray[Any], BinaryCodes]: ...
    def table(self, names: Any) -> pa.Table: ...


class Showing:
    """The faces of a collection; the class below has the rest."""

    def to_arrow(self: _Shown) -> pa.Table:
        """Return all rows, ascending by id: ``id``, ``path``, ``code`` in hexadecimal, and a column an attribute.

        ``code`` is that of the current model, empty where a row has none.
        """
        names = [name for name in self.attribute_kinds if name != URI]
        table = self.table([URI, *names])
        ids, codes = self.codes()
        known = dict(zip(ids.tolist(), codes.hex()))
        found = pa.array([known.get(number) for number in table.column(ID).to_pylist()], pa.string())
        columns = {"id": table.column(ID), "path": table.column(URI), "code": found}
        return pa.table({**columns, **{name: table.column(name) for name in names}})

    def to_pandas(self: Any) -> Any:
        """Return :meth:`to_arrow` as a data frame."""
        return as_frame(self.to_arrow())

    def _repr_html_(self: _Shown) -> str:
        facts = [
            ("items", f"{len(self):,}"),
            ("codes", f"{self.num_bits} bits, {self.current.called}"),
            ("version", self.version),
            ("attributes", ", ".join(f"{name} ({kind})" for name, kind in self.attribute_kinds.items())),
        ]
        pictures = [thumbnail(self, item) for item in self.items(self.ids()[:_SHOWN])]
        return html_table(facts, (self.path.name, "")) + "".join(pictures)


def thumbnail(collection: Any, item: Any, side: int = SIDE) -> str:
    """Return an item's picture, made small and without its metadata, as HTML; nothing where it has none to show."""
    source_of = import_module("deephash.collection.sources.again").source_of  # by name: that file stands above this one
    try:
        picture = open_picture(source_of(collection, item), reduced_to=side)
    except (DeephashError, OSError, ValueError):
        return Html("")
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    fresh, buffer = Image.new("RGB", picture.size), BytesIO()
    fresh.paste(picture.convert("RGB"))
    fresh.save(buffer, "JPEG", quality=82)
    return html_picture(buffer.getvalue(), "image/jpeg", item.uri, side)
