"""From what a person holds (a picture, words, a mixture) to one code. Torch is imported with the model, not before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.model_versions import ModelVersion
from deephash.collection.reader import CollectionReader
from deephash.encoding import CodeEncoder, open_encoder, read_model_record
from deephash.encoding.composed import change_by_words, compose_picture, continuous_codes, neutral_codes
from deephash.encoding.doubt import tables_of
from deephash.encoding.opening import USUAL, Manner, Source, folder_of, manner_of
from deephash.encoding.phrases import unknown_note
from deephash.encoding.port import Engine, Modality, Row
from deephash.encoding.record import description_of
from deephash.errors import IncompatibleModel, UsageError
from deephash.index.composition import ComposedQuery
from deephash.pictures import open_picture
from deephash.search.query import Part, Query, Sliders

REMEMBERED_QUERIES = 512


@dataclass(frozen=True, eq=False)
class Encoded:
    """A query as the collection understands it.

    Attributes:
        code: one row.
        vector: float32 [1, D], comparable with the vectors that rows keep; None where nobody asked for it.
        probabilities: float64 [K], how probably each bit is 1; None where it is not known, as of stored codes, which
            have bits alone, and of mixtures.
        usual: certainty that 95 % of known queries reach; None where not known, or of a prefix.
    """

    code: BinaryCodes
    vector: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float64] | None = None
    usual: float | None = None

    def prefix(self, bits: int) -> Encoded:
        """Return the first ``bits`` of the code, and the whole vector."""
        sure = None if self.probabilities is None else self.probabilities[:bits]
        return Encoded(self.code.prefix(bits), self.vector, sure, self.usual if bits == self.code.num_bits else None)


@dataclass(frozen=True)
class Mixture:
    """A composed query whose parts are encoded already: another position of the sliders costs a few sums of K numbers.

    Attributes:
        worded: the picture and the words, or None where the query is no such pair.
        share: the beta that the weights of the terms ask for.
        away: float64 [K], how unwanted words move the pair.
        pull: float64 [K], what all other terms add, the pair having length one.
    """

    worded: ComposedQuery | None
    share: float
    away: NDArray[np.float64]
    pull: NDArray[np.float64]

    def values(self, sliders: Sliders | None = None) -> NDArray[np.float64]:
        """Return the continuous code [K]; without ``sliders``, the one that the weights ask for."""
        if self.worded is None:
            return self.pull
        at = sliders or Sliders(beta=self.share)
        pair = self.worded.at(alpha_text=at.alpha_text, alpha_image=at.alpha_image, beta=at.beta)
        return _unit(pair + self.away) + self.pull

    def code(self, sliders: Sliders | None = None) -> BinaryCodes:
        """Return the code of :meth:`values`."""
        return BinaryCodes.from_continuous(self.values(sliders)[None])


class QueryEncoder:
    """Encodes queries with the model a collection was made with; the model is loaded at the first need.

    Args:
        source: a run, a model folder, a collection, a model in memory or an encoder; None for codes from elsewhere:
            only codes and ids search.
        fingerprint: the one the collection's codes were made with; None accepts any.
        collection: how the collection is called in messages.
        manner: how pictures become codes; that of the collection.

    Raises:
        IncompatibleModel: the model's codes cannot be compared with the collection's.
    """

    def __init__(self, source: Source | None, fingerprint: str | None, collection: str, manner: Manner = USUAL) -> None:
        self._model: CodeEncoder | None = None
        self._lock = threading.Lock()
        self._expected, self._collection, self._manner = fingerprint, collection, manner
        self._remembered: OrderedDict[tuple[str, bool], Encoded | Mixture] = OrderedDict()
        self.directory: Path | None = None
        self.record: dict[str, Any] = {"class": "codes from elsewhere", "modalities": []}
        if source is None:
            return
        if isinstance(source, (str, Path)):
            self.directory = folder_of(source)
            self.record = read_model_record(self.directory)
            self._check(str(self.record.get("fingerprint")))
        else:
            encoder = self._model = open_encoder(source)
            self.record = {"class": encoder.method, "modalities": list(encoder.modalities)}
            self._check(encoder.fingerprint())

    @property
    def description(self) -> str:
        """A name for people, such as ``OrthoHash on timm:resnet18``."""
        return description_of(self.record)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads: ``image``, ``text`` or both."""
        return tuple(self.record.get("modalities", ("image",)))

    @property
    def model(self) -> CodeEncoder:
        """The model behind its port, loaded now if it was not yet."""
        with self._lock:
            if self._model is None:
                if self.directory is None:
                    raise UsageError(f"{self._collection} has no model; search it by id, or give --model")
                encoder = open_encoder(self.directory, engine=self._manner.engine, precision=self._manner.precision)
                self._check(encoder.fingerprint())
                self._model = encoder
            return self._model

    def encode(self, kind: Modality, value: Any, *, with_vector: bool = False) -> Encoded:
        """Return the code of a picture or a phrase, and its float vector: opened once, and one pass of the network."""
        row = self._row(kind, value)
        sure = tables_of(self.model).get(kind) if self.model.layout.is_flat else None
        found = self.model.encode(kind, [row], continuous=sure is not None, vectors=with_vector)
        if sure is None or found.continuous is None:
            return Encoded(found.codes, found.vectors)
        return Encoded(found.codes, found.vectors, sure.probabilities(found.continuous[0]), sure.usual)

    def encode_query(self, query: Query, *, with_vector: bool = False) -> Encoded:
        """Return the code of a query whose items were put in as codes; its parts are encoded once, sliders mix anew.

        One wanted picture or phrase gives exactly :meth:`encode` of it. A picture with words, and perhaps words that
        are not wanted, is composed by prompt directions (:mod:`deephash.encoding.composed`), the words' share of the
        two weights being its beta. Any other mixture adds unit-length continuous codes by their weights. There, a
        stored code takes part as its signs plus the mean signs of its neighbours: bare signs have no weak bits, and no
        share below one half could ever turn one. Unwanted words act by their difference to saying nothing.

        Raises:
            UsageError: the model does not read a part, or a vector is asked of a mixture.
        """
        only = query.only
        if only is not None and only.kind == "code":
            return Encoded(only.value[:1])
        if with_vector and only is None:
            raise UsageError(
                "re-ranking (--rerank) compares one picture or phrase with stored vectors; leave out the others"
            )
        found = self._once((query.key, with_vector), lambda: self._made(query, with_vector))
        return found if isinstance(found, Encoded) else Encoded(found.code(query.sliders))

    def _made(self, query: Query, with_vector: bool) -> Encoded | Mixture:
        only = query.only
        if only is None:
            return self.mixture(query.parts)
        return self.encode(_modality(only), only.value, with_vector=with_vector)

    def _once(self, key: tuple[str, bool], make: Callable[[], Encoded | Mixture]) -> Encoded | Mixture:
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        made = make()
        with self._lock:
            self._remembered[key] = made
            while len(self._remembered) > REMEMBERED_QUERIES:
                self._remembered.popitem(last=False)
        return made

    def mixture(self, terms: Sequence[Part]) -> Mixture:
        """Encode the parts of a composed query, once for every position of the sliders."""
        if not any(term.weight for term in terms):
            raise UsageError("all weights of the composed query are zero; give at least one part a weight")
        found = self._worded_picture(terms)
        if found is not None:
            return found
        pull = np.asarray(sum(term.weight * self._movement(term) for term in terms))
        return Mixture(None, 0.0, np.zeros_like(pull), pull)

    def notes(self, query: Query) -> list[str]:
        """Return what should be known about how a query was read: which of its words have no effect."""
        words = " ".join(part.value for part in query.parts if part.kind == "text")
        note = unknown_note(self.model.unknown_words(words)) if words else ""
        return [note] if note else []

    def require(self, modality: str) -> None:
        """Raise UsageError where the model does not read ``modality``."""
        if not self.modalities:
            raise UsageError(f"{self._collection} holds codes without a model; search it by id, or give --model")
        if modality not in self.modalities:
            able = {"image": "pictures", "text": "words"}
            raise UsageError(
                f"{self.description} reads {' and '.join(able.get(name, name) for name in self.modalities)}, "
                f"not {able.get(modality, modality)}",
                remedy=f"To search by {able.get(modality, modality)}, index the collection with a cross-modal model: "
                "deephash models list",
            )

    def _worded_picture(self, terms: Sequence[Part]) -> Mixture | None:
        """Compose one picture, one wanted phrase, any unwanted ones and any items; None for other mixtures."""
        pictures = [term for term in terms if term.kind == "image"]
        wanted = [term for term in terms if term.kind == "text" and term.weight > 0]
        unwanted = [term.value for term in terms if term.kind == "text" and term.weight < 0]
        items = [term for term in terms if term.kind == "code"]
        if len(pictures) != 1 or len(wanted) != 1 or len(terms) != 2 + len(unwanted) + len(items):
            return None
        if pictures[0].weight < 0:
            return None
        self._require_mixable()
        share = wanted[0].weight / (wanted[0].weight + pictures[0].weight)
        worded = compose_picture(self.model, pictures[0].value, wanted[0].value)
        nothing = np.zeros_like(worded.picture)
        away = change_by_words(self.model, nothing, minus=unwanted) if unwanted else nothing
        pull = np.asarray(sum((term.weight * self._direction(term) for term in items), nothing))
        return Mixture(worded, share, away, pull)

    def _movement(self, term: Part) -> NDArray[np.float64]:
        """Return what a term adds; unwanted words act by their difference to saying nothing."""
        if term.kind == "text" and term.weight < 0:
            return self._direction(term) - _unit(neutral_codes(self.model))
        return self._direction(term)

    def _direction(self, term: Part) -> NDArray[np.float64]:
        if term.kind == "code":
            signs = term.value.signs().astype(np.float64)
            values = signs[0] + (signs[1:].mean(axis=0) if len(signs) > 1 else 0.0)
        else:
            self._require_mixable()
            kind = _modality(term)
            values = continuous_codes(self.model, kind, self._row(kind, term.value))
        return _unit(values)

    def _require_mixable(self) -> None:
        """Only where a bit means ``v >= 0`` can continuous codes be mixed."""
        if not self.model.is_mixable:
            raise UsageError(f"{self.description} does not binarise at zero, so its queries cannot be mixed")

    def _row(self, kind: Modality, value: Any) -> Row:
        self.require(kind)
        if kind == "image":  # opened as when the collection was made, so that a picture finds itself at distance 0
            side = self.model.picture_side if self._manner.decode == "reduced" else None
            value = open_picture(value, reduced_to=side)
        return self.model.prepare(kind, value)

    def _check(self, fingerprint: str) -> None:
        if self._expected is not None and fingerprint != self._expected:
            raise IncompatibleModel(
                f"{self._collection} holds codes of the model {self._expected}; you asked to search with "
                f"{self.description} ({fingerprint})",
                remedy="Leave out --model to use the collection's own, or rebuild: "
                f"deephash index PICTURES --out NEW.dh --model {self.directory or 'MODEL'}",
            )


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-12))


def _modality(part: Part) -> Modality:
    """Return what a picture or a phrase is read as."""
    if part.kind not in ("image", "text"):
        raise UsageError(f"a query of kind {part.kind!r} has no model to read it; give a picture or words")
    return part.kind


class QueryEncoders:
    """The encoders of a collection's models, each loaded at its first query.

    Args:
        collection: how the collection is called in messages.
        engine: what encodes; ``auto`` takes what encoded the collection.
    """

    def __init__(self, collection: str, engine: Engine = "auto") -> None:
        self._name, self._engine = collection, engine
        self._known: dict[str | None, QueryEncoder] = {}
        self._lock = threading.Lock()

    def put(self, model: ModelVersion, collection: CollectionReader, source: Source | None = None) -> QueryEncoder:
        """Take ``source`` as what encodes queries for ``model``; by default the model that the collection carries.

        Raises:
            IncompatibleModel: its codes cannot be compared with those of ``model``.
        """
        chosen = collection.path_of_model(model.fingerprint) if source is None else source
        manner = manner_of(collection, chosen)
        if self._engine != "auto":
            manner = manner._replace(
                engine=self._engine, precision=None if self._engine == "torch" else manner.precision
            )
        encoder = QueryEncoder(chosen, model.fingerprint, self._name, manner)
        self._known[model.fingerprint] = encoder
        return encoder

    def of(self, model: ModelVersion, collection: CollectionReader) -> QueryEncoder:
        """Return the encoder of a model of the collection."""
        with self._lock:
            known = self._known.get(model.fingerprint)
            return self.put(model, collection) if known is None else known
