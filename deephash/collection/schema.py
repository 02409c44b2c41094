"""The columns of a collection as an Arrow schema, and Python values as columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.errors import CollectionDamaged, UsageError, did_you_mean

ID, URI, HASH, VECTOR, CODE = "id", "uri", "content_hash", "vector", "code"
MODEL_VERSION = "model_version"  # of the model that made a row's code; only collections that were upgraded have it
RESERVED = (
    ID,
    URI,
    HASH,
    VECTOR,
    CODE,
    MODEL_VERSION,
    "path",
    "and",
    "or",
    "not",
    "in",
    "exists",
    "missing",
    "contains",
    "true",
    "false",
)

FILE_ATTRIBUTES: Mapping[str, pa.DataType] = {
    "width": pa.int64(),
    "height": pa.int64(),
    "size": pa.int64(),  # bytes
    "mtime": pa.timestamp("us"),  # UTC
    "taken": pa.timestamp("us"),  # the camera's clock
    "year": pa.int64(),  # of ``taken``
    "folder": pa.string(),
    "label": pa.string(),
    "caption": pa.string(),
}
KINDS = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "yes/no": pa.bool_(),
    "time": pa.timestamp("us"),
}
_EXACT = {pa.string(): str, pa.int64(): int, pa.float64(): float, pa.bool_(): bool, pa.timestamp("us"): datetime}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_META = "deephash:"
MODELS_KEY = _META + "model_versions"  # in the metadata of the schema of a collection that was upgraded
_AGAIN = "restore an earlier version (deephash collection versions), or the folder from a copy"
_DIGITS = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_FINGERPRINT = re.compile(r"[A-Za-z0-9_-]{1,64}")  # it names a folder


@dataclass(frozen=True)
class CodeColumn:
    """One column of codes.

    Attributes:
        num_bits: K.
        num_levels: L.
        fingerprint: of the model that made the codes; None for codes from elsewhere.
        model: the model in words, for messages.
    """

    num_bits: int
    num_levels: int = 1
    fingerprint: str | None = None
    model: str = "codes from elsewhere"

    @property
    def layout(self) -> CodeLayout:
        """K and L, and what follows from them."""
        return CodeLayout(self.num_bits, self.num_levels)

    def field(self, name: str) -> pa.Field:
        """Return the Arrow field; the description travels in its metadata, so that it is versioned with the rows."""
        facts = {"num_bits": self.num_bits, "num_levels": self.num_levels, "model": self.model}
        facts |= {"fingerprint": self.fingerprint} if self.fingerprint else {}
        return pa.field(
            name, pa.list_(pa.uint8(), self.layout.width), metadata={_META + k: str(v) for k, v in facts.items()}
        )


def base_schema(code: CodeColumn, vector_dim: int | None) -> pa.Schema:
    """Return the schema of a new collection."""
    fields = [pa.field(ID, pa.int64(), nullable=False), pa.field(URI, pa.string()), pa.field(HASH, pa.string())]
    fields += [pa.field(name, kind) for name, kind in FILE_ATTRIBUTES.items()]
    fields += [pa.field(VECTOR, pa.list_(pa.float16(), vector_dim))] if vector_dim else []
    return pa.schema([*fields, code.field(CODE)])


def code_columns(schema: pa.Schema) -> dict[str, CodeColumn]:
    """Read the code columns out of a schema."""
    return {field.name: described_codes(field, facts) for field in schema if "num_bits" in (facts := _facts(field))}


def described_codes(field: pa.Field, facts: Mapping[str, str]) -> CodeColumn:
    """Return what a field says about its codes. Raises CollectionDamaged where it cannot be so."""
    bits, levels, model = facts["num_bits"], facts.get("num_levels", "1"), facts.get("model", "unknown")
    sizes = [int(each) for each in (bits, levels) if _DIGITS.fullmatch(each)]
    fingerprint = facts.get("fingerprint")
    column = CodeColumn(sizes[0], sizes[1], fingerprint, model) if len(sizes) == 2 else None
    if column is None or field.type != pa.list_(pa.uint8(), column.layout.width):
        raise CollectionDamaged(
            f"column {field.name!r} says it holds codes of {bits:.20} bits x {levels:.20} level(s) and is of the type "
            f"{field.type!s:.60}; {_AGAIN}"
        )
    if not model.isprintable() or len(model) > 200:  # it is shown on terminals
        raise CollectionDamaged(f"column {field.name!r} names its model {model[:40]!r}, which is no name; {_AGAIN}")
    if fingerprint is not None and not _FINGERPRINT.fullmatch(fingerprint):
        raise CollectionDamaged(
            f"column {field.name!r} names its model {fingerprint[:40]!r}, which is no fingerprint; {_AGAIN}"
        )
    return column


def require_columns(schema: pa.Schema, path: object) -> None:
    """Raise CollectionDamaged unless the columns that every collection has are there, with their types."""
    known = {ID: pa.int64(), URI: pa.string(), HASH: pa.string(), **FILE_ATTRIBUTES}
    given = {field.name: field.type for field in schema}
    lacking = [name for name in (ID, URI, HASH, CODE) if name not in given]
    if lacking or len(given) < len(schema):
        raise CollectionDamaged(f"{path} lacks the column {lacking[:1]}, or has one twice; {_AGAIN}")
    wrong = [name for name, kind in known.items() if name in given and given[name] != kind]
    if VECTOR in given and given[VECTOR] != pa.list_(pa.float16(), getattr(given[VECTOR], "list_size", -1)):
        wrong.append(VECTOR)
    if wrong:
        held, right = given[wrong[0]], known.get(wrong[0], "float16 [D]")
        raise CollectionDamaged(f"{path}: the column {wrong[0]!r} is {held!s:.60}, not {right}; {_AGAIN}")
    if CODE not in code_columns(schema):
        raise CollectionDamaged(
            f"{path}: the column {CODE!r} does not say that it holds codes; copy the collection again"
        )


def is_vectors(field: pa.Field) -> bool:
    """Say whether a column holds vectors: of the first model, or (``vector_...``) of a later one."""
    return field.name.startswith(VECTOR) and bool(pa.types.is_fixed_size_list(field.type))


def is_upgraded(schema: pa.Schema) -> bool:
    """Say whether a collection ever had another model than its first."""
    return MODELS_KEY.encode() in (schema.metadata or {})


def _facts(field: pa.Field) -> dict[str, str]:
    facts = {
        key.decode(errors="replace"): value.decode(errors="replace") for key, value in (field.metadata or {}).items()
    }
    return {key.removeprefix(_META): value for key, value in facts.items() if key.startswith(_META)}


def file_attribute_kinds() -> dict[str, str]:
    """Return the kinds of the attributes that every collection has."""
    return attribute_kinds(pa.schema([pa.field(name, kind) for name, kind in FILE_ATTRIBUTES.items()]))


def attribute_kinds(schema: pa.Schema) -> dict[str, str]:
    """Return {attribute: text, integer, number, yes/no or time} of every attribute column, the uri included."""
    kinds = {pa_type: kind for kind, pa_type in KINDS.items()}
    skip = {ID, HASH, VECTOR, *code_columns(schema)}
    return {field.name: kinds[field.type] for field in schema if field.name not in skip and field.type in kinds}


def hub_column(kind: str) -> str:
    """Return the name of the column of hub biases for queries of ``kind``; they follow from a row's code."""
    return f"hub_bias_{kind}"


def is_derived(name: str) -> bool:
    """Say whether an attribute follows from the code, so that it is void once the code is another."""
    return name.startswith("hub_bias_")


def check_name(name: str, where: str = "") -> None:
    """Raise UsageError, which begins with ``where``, unless ``name`` can name a column."""
    if not _NAME.fullmatch(name) or name.lower() in RESERVED:
        valid = re.sub(r"\W", "_", name) or "x"
        raise UsageError(
            f"{where}{name!r} cannot name a column: use letters, digits and _, beginning with a letter, and none of "
            f"{', '.join(RESERVED)}; for example {valid + '_' if valid.lower() in RESERVED else valid!r}"
        )


def new_fields(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> list[pa.Field]:
    """Return fields for the attributes in ``rows`` that ``schema`` lacks; their kinds follow the values."""
    codes = code_columns(schema)
    fields = []
    for name in names_in(rows):
        if name != MODEL_VERSION or name not in schema.names or is_upgraded(schema):  # else it is the user's, and older
            check_name(name)
        if name in codes:
            raise UsageError(f"{name!r} is a column of codes here; choose another name for the attribute")
        if name not in schema.names:
            kind = None
            for row in rows:
                if (value := row.get(name)) is not None:
                    kind = _wider(name, kind, _kind_of(name, value))
            fields += [pa.field(name, kind)] if kind is not None else []
    return fields


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names in any of ``rows``, in the order they are met."""
    return list(dict.fromkeys(chain.from_iterable(rows)))


def attribute_array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    """Return one attribute column. Raises UsageError naming the first value that does not fit."""
    if set(map(type, values)) - {_EXACT[field.type], type(None)}:
        values = [None if value is None else _fit(field, value) for value in values]
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError) as error:
        raise UsageError(f"attribute {field.name!r} holds {field.type}, and a value is beyond it: {error}") from None


def first_twice(names: Sequence[str]) -> str:
    """Return the first of ``names`` that was there before; one of them is."""
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def text_array(name: str, values: Sequence[str]) -> pa.Array:
    """Return a column of text. Raises UsageError for what is no Unicode text."""
    try:
        return pa.array(list(values), pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise UsageError(f"{name} must be Unicode text: {error}") from None


def code_array(codes: BinaryCodes) -> pa.Array:
    """Return packed codes as an Arrow column, without a copy."""
    flat = pa.array(codes.packed.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, codes.packed.shape[1])


def vector_array(vectors: ArrayLike, dim: int, rows: int) -> pa.Array:
    """Return float16 vectors as an Arrow column. Raises UsageError for the wrong shape or values beyond float16."""
    array = np.asarray(vectors)
    if array.shape != (rows, dim):
        raise UsageError(f"vectors have shape [{rows}, {dim}] in this collection, not {list(array.shape)}")
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(array, dtype=np.float16)
    if not np.isfinite(halves).all():
        raise UsageError("vectors hold NaN, or values beyond the range of float16 (65,504); normalise them first")
    return pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), dim)


def matrix(column: pa.ChunkedArray, dtype: type[np.generic], width: int) -> NDArray[Any]:
    """Return a fixed-size-list column without nulls as an array [N, width]."""
    out = np.empty((len(column), width), dtype)
    start = 0
    for chunk in column.chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        out[start : start + len(chunk)] = values.reshape(-1, width)
        start += len(chunk)
    return out


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return ``table`` with every column of ``schema``, in its order; those it lacks are empty."""
    arrays = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(arrays, schema)


def column_of(schema: pa.Schema, name: str) -> CodeColumn:
    """Return the code column ``name``. Raises UsageError with the names that exist."""
    columns = code_columns(schema)
    if name in columns:
        return columns[name]
    if not columns:
        raise CollectionDamaged("this collection has no code column; restore an earlier version")
    raise UsageError(f"no code column {name!r}" + did_you_mean(name, list(columns)))


def _kind_of(name: str, value: Any) -> pa.DataType:
    if isinstance(value, (bool, np.bool_)):
        return pa.bool_()
    for types, kind in (((int, np.integer), pa.int64()), ((float, np.floating), pa.float64()), (str, pa.string())):
        if isinstance(value, types):
            return kind
    if isinstance(value, (date, datetime)):
        return pa.timestamp("us")
    raise UsageError(
        f"attribute {name!r} is text, a number, yes/no or a time, not {type(value).__name__} {value!r:.60}"
    )


def _wider(name: str, one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    if one is None or one == other:
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    raise UsageError(f"attribute {name!r} mixes {one} and {other}; give all its values as text, or all as numbers")


def _fit(field: pa.Field, value: Any) -> Any:
    given = _kind_of(field.name, value)
    if given == field.type:
        return datetime.combine(value, time()) if type(value) is date else value
    if field.type == pa.float64() and given == pa.int64():
        return float(value)
    raise UsageError(f"attribute {field.name!r} holds {field.type} in this collection, not {given} ({value!r:.60})")
