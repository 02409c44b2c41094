"""The shapes of the routes' answers, for the description and for whoever reads them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]  # FastAPI describes a tuple wrongly


class ErrorRecord(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="a sentence")


class HitRecord(BaseModel):
    """One found item."""

    rank: int
    distance: int = Field(description="bits that differ")
    similarity: float = Field(description="1 - distance / bits")
    path: str
    id: int
    tie_size: int = Field(description="so many items have this distance")
    num_bits: int = Field(description="bits compared")
    attributes: dict[str, Any]
    score: float | None = Field(description="cosine of the stored vectors, where they were asked for")
    corrected: float | None = Field(description="distance plus hub bias, where hubs are corrected")
    model_version: int = Field(description="number of the model that made its code")
    by_chance: float | None = Field(
        description="probability that an unrelated item lies so near, where models are merged"
    )
    expected_distance: float | None = Field(
        None, description="bits, the query being uncertain, where hits are ordered so"
    )
    word: str | None = Field(
        description="likely, nearer than chance, unlikely or by chance; null where none can be said"
    )
    probability: float | None = Field(description="that it is right, where known pairs tell")
    expected: float | None = Field(description="unrelated items that chance puts so near")


class AskedRecord(BaseModel):
    """What was asked."""

    kind: str
    label: str
    hex: str


class ChanceRecord(BaseModel):
    """Distances of unrelated items of the collection."""

    mean: float
    sd: float


class VerdictRecord(BaseModel):
    """Which distances mean something for this query."""

    basis: str = Field(description="relevance: known pairs; chance: no labels; none: too few items")
    cut: int | None = Field(description="the line: farthest distance that is likely, or nearer than chance; -1: none")
    match: bool = Field(description="whether a hit lies above the line")
    headline: str = Field(description="no match, and why; else empty")
    why: str = Field(description="what else should be known; may be empty")
    source: str = Field(description="where the known pairs come from; empty without them")


class AnswerRecord(BaseModel):
    """The nearest items, in order."""

    collection: str
    query: AskedRecord
    num_bits: int
    total: int = Field(description="items of the collection")
    nearest: int | None = Field(description="smallest distance of an item that passes the filter")
    chance: ChanceRecord | None
    verdict: VerdictRecord
    encode_ms: float
    search_ms: float
    notes: list[str] = Field(description="what was left out, and why")
    hits: list[HitRecord]


class CodeRecord(BaseModel):
    """A code."""

    num_bits: int
    hex: str


class ItemRecord(CodeRecord):
    """An item of a collection."""

    id: int
    path: str
    width: int | None = Field(description="pixels of the file, upright; null where it cannot be read")
    height: int | None
    bytes: int | None = Field(description="size of the file")
    attributes: dict[str, Any]
    titles: dict[str, str] = Field(description="what people call each attribute")


class AddedRecord(BaseModel):
    """What was added."""

    ids: list[int]
    version: int
    skipped: list[Pair] = Field(description="(file name, reason) of what was left out")


class CollectionRecord(BaseModel):
    """A served collection."""

    name: str
    items: int
    num_bits: int
    version: int
    model: str
    modalities: list[str]
    fingerprint: str | None
    index: str


class StatsRecord(BaseModel):
    """What is served."""

    read_only: bool
    collections: list[CollectionRecord]
