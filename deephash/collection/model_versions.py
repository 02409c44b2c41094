"""Which models made the codes of a collection: one a version, and a column of codes for every space of codes.

Codes of models that were trained to be compatible lie in one column and are searched together; codes of models that are
not lie in columns of their own, since a distance between them would mean nothing. The list is in the metadata of the
rows' schema, so that it is of one version with them and restoring an earlier version restores it too. A collection that
was never upgraded has none, and one model: that of the column ``code``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from deephash.collection.schema import CODE, MODELS_KEY, VECTOR, code_columns
from deephash.errors import CollectionDamaged
from deephash.foreign import Unfit, refused_as, require_schema
from deephash.foreign.documents import parse_json

SOURCE = "the list of model versions"


@dataclass(frozen=True)
class ModelVersion:
    """One model of a collection.

    Attributes:
        number: 1 for the model that the collection was made with.
        column: where its codes lie; models that share it are compatible.
        fingerprint: of the model; None for codes from elsewhere.
        model: the model in words.
        vectors: where vectors of its network lie, of collections that keep any.
        published: ISO time, UTC; empty for the first.
        evidence: what was measured before it was published, as JSON values.
    """

    number: int = 1
    column: str = CODE
    fingerprint: str | None = None
    model: str = "codes from elsewhere"
    vectors: str = VECTOR
    published: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The model in words, with its fingerprint."""
        return f"{self.model} ({self.fingerprint})" if self.fingerprint else self.model

    @property
    def verdict(self) -> str:
        """What was found before it was published, in a few words; empty for the first."""
        if not self.evidence:
            return "not measured" if self.number > 1 else ""
        if self.evidence.get("compatible"):
            return "compatible"
        if self.evidence.get("forced"):
            return "not shown to be compatible; forced"
        return "not compatible; rows are encoded anew"


def model_versions(schema: pa.Schema) -> tuple[ModelVersion, ...]:
    """Return the models of a collection, oldest first. Raises CollectionDamaged where the list cannot be so."""
    columns = code_columns(schema)
    text = (schema.metadata or {}).get(MODELS_KEY.encode())
    if text is None:
        first = columns[CODE]
        return (ModelVersion(1, CODE, first.fingerprint, first.model),)
    with refused_as(CollectionDamaged, "restore an earlier version (deephash collection versions)"):
        record = parse_json(text, SOURCE)
        require_schema(record, "model_versions", SOURCE)
        found = tuple(ModelVersion(**entry) for entry in record["versions"])
        lost = [each.column for each in found if each.column not in columns]
        if lost:
            raise Unfit(f"{SOURCE} names a column {lost[0]!r} that is not there")
        for name in {each.vectors for each in found} & set(schema.names):
            if not pa.types.is_fixed_size_list(schema.field(name).type) or name in columns:
                raise Unfit(f"{SOURCE} names a column {name!r} that holds no vectors")
        if [each.number for each in found] != list(range(1, len(found) + 1)):
            raise Unfit(f"{SOURCE} has a number twice or none")
    return found


def as_metadata(versions: Sequence[ModelVersion]) -> dict[str, str]:
    """Return what the schema keeps of them."""
    return {MODELS_KEY: json.dumps({"versions": [asdict(each) for each in versions]})}


def spaces_of(versions: Sequence[ModelVersion]) -> tuple[ModelVersion, ...]:
    """Return the newest model of each column of codes, the current one first, then from the newest to the oldest."""
    newest = {each.column: each for each in versions}
    return tuple(sorted(newest.values(), key=lambda each: -each.number))
