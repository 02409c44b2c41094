"""From what a person holds (a picture, words, a mixture) to one code. Torch is imported with the model, not before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.model_record import read_model_record
from deephash.errors import IncompatibleModel, UsageError
from deephash.index.composition import ComposedQuery

if TYPE_CHECKING:
    from deephash.models.base import HashModel

Kind = Literal["image", "text", "code"]


@dataclass(frozen=True)
class Term:
    """One part of a composed query.

    Attributes:
        kind: what ``value`` is: a picture (path, bytes, PIL, array), a phrase, or BinaryCodes. The first code is the
            item; codes of its neighbours may follow, and tell in a mixture which of its bits are firm.
        value: the part itself.
        weight: its share; negative to move away from it.
    """

    kind: Kind
    value: Any
    weight: float = 1.0


@dataclass(frozen=True)
class Sliders:
    """How a picture and words are mixed; see :meth:`deephash.index.composition.ComposedQuery.at`.

    Attributes:
        alpha_text: how far the side of the words moves along them.
        alpha_image: how far the side of the picture moves along them; negative removes what they say.
        beta: 0 is the picture's side, 1 the words' side.
    """

    alpha_text: float = 1.0
    alpha_image: float = 1.0
    beta: float = 0.5


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
        source: a run, a model folder, or a model in memory; None for codes from elsewhere: only codes and ids search.
        fingerprint: the one the collection's codes were made with; None accepts any.
        collection: how the collection is called in messages.

    Raises:
        IncompatibleModel: the model's codes cannot be compared with the collection's.
    """

    def __init__(self, source: str | Path | HashModel | None, fingerprint: str | None, collection: str) -> None:
        self._model: HashModel | None = None
        self._lock = threading.Lock()
        self._expected, self._collection = fingerprint, collection
        self.directory: Path | None = None
        self.record: dict[str, Any] = {"class": "codes from elsewhere", "modalities": []}
        if source is None:
            return
        if isinstance(source, (str, Path)):
            self.directory = _model_folder(Path(source))
            self.record = read_model_record(self.directory)
            self._check(str(self.record.get("fingerprint")), self.description)
        else:
            self._model = source
            modalities = list(source.encoders)
            self.record = {"class": type(source).__name__, "num_bits": source.num_bits, "modalities": modalities}
            self._check(source.fingerprint(), self.description)

    @property
    def description(self) -> str:
        """A name for people, such as ``OrthoHash on timm:resnet18``."""
        arguments = self.record.get("init_args", {})
        backbone = arguments.get("backbone") or arguments.get("image_backbone") or {}
        suffix = f" on {backbone['name']}" if isinstance(backbone, dict) and "name" in backbone else ""
        return f"{self.record.get('class', 'model')}{suffix}"

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads: ``image``, ``text`` or both."""
        return tuple(self.record.get("modalities", ("image",)))

    @property
    def model(self) -> HashModel:
        """The model itself, loaded now if it was not yet."""
        with self._lock:
            if self._model is None:
                from deephash.models import load_model

                if self.directory is None:
                    raise UsageError(f"{self._collection} has no model; search it by id, or give --model")
                model = load_model(self.directory)
                self._check(model.fingerprint(), self.description)
                self._model = model.eval()
            return self._model

    def encode(self, kind: Kind, value: Any) -> BinaryCodes:
        """Return the code (one row) of a picture or a phrase."""
        if kind == "code":
            return BinaryCodes(value.packed[:1], value.num_bits, value.num_levels)
        self.require(kind)
        encode = self.model.encode_images if kind == "image" else self.model.encode_texts
        return encode([value])

    def compose(self, terms: Sequence[Term]) -> BinaryCodes:
        """Return the code of a composed query; a bit is 1 where its continuous code is at least 0.

        One term of positive weight gives exactly :meth:`encode` of it. A picture with words, and perhaps words that are
        not wanted, is composed by prompt directions (:mod:`deephash.models.composed`), the words' share of the two
        weights being its beta. Any other mixture adds unit-length continuous codes by their weights. There, a stored
        code takes part as its signs plus the mean signs of its neighbours: bare signs have no weak bits, and no share
        below one half could ever turn one. Unwanted words act by their difference to saying nothing.
        """
        if not terms:
            raise UsageError("a composed query needs at least one part")
        if len(terms) == 1 and terms[0].weight > 0:
            return self.encode(terms[0].kind, terms[0].value)
        return self.mixture(terms).code()

    def mixture(self, terms: Sequence[Term]) -> Mixture:
        """Encode the parts of a composed query, once for every position of the sliders."""
        if not any(term.weight for term in terms):
            raise UsageError("all weights of the composed query are zero; give at least one part a weight")
        found = self._worded_picture(terms)
        if found is not None:
            return found
        pull = np.asarray(sum(term.weight * self._movement(term) for term in terms))
        return Mixture(None, 0.0, np.zeros_like(pull), pull)

    def vector(self, kind: Kind, value: Any) -> NDArray[np.float32]:
        """Return the float vector [1, D] of a picture or a phrase, comparable with the vectors that rows keep."""
        import torch

        inputs = self._inputs(kind, value)
        with torch.inference_mode():
            own = getattr(self.model, "vectors", None)
            found = own(inputs) if own is not None else self.model.features(inputs, kind)
            return np.asarray(found.float().cpu(), dtype=np.float32)

    def require(self, modality: str) -> None:
        """Raise UsageError where the model does not read ``modality``."""
        if not self.modalities:
            raise UsageError(f"{self._collection} holds codes without a model; search it by id, or give --model")
        if modality not in self.modalities:
            able = {"image": "pictures", "text": "words"}
            raise UsageError(
                f"{self.description} reads {' and '.join(able.get(name, name) for name in self.modalities)}, "
                f"not {able.get(modality, modality)}; index the collection with a cross-modal model to search by "
                f"{able.get(modality, modality)} (deephash models list)"
            )

    def _worded_picture(self, terms: Sequence[Term]) -> Mixture | None:
        """Compose one picture, one wanted phrase, any unwanted ones and any items; None for other mixtures."""
        pictures = [term for term in terms if term.kind == "image"]
        wanted = [term for term in terms if term.kind == "text" and term.weight > 0]
        unwanted = [term.value for term in terms if term.kind == "text" and term.weight < 0]
        items = [term for term in terms if term.kind == "code"]
        if len(pictures) != 1 or len(wanted) != 1 or len(terms) != 2 + len(unwanted) + len(items):
            return None
        if pictures[0].weight < 0:
            return None
        from deephash.models.composed import change_by_words, compose_picture

        self._require_mixable()
        share = wanted[0].weight / (wanted[0].weight + pictures[0].weight)
        worded = compose_picture(self.model, pictures[0].value, wanted[0].value)
        nothing = np.zeros_like(worded.picture)
        away = change_by_words(self.model, nothing, minus=unwanted) if unwanted else nothing
        pull = np.asarray(sum((term.weight * self._direction(term) for term in items), nothing))
        return Mixture(worded, share, away, pull)

    def _movement(self, term: Term) -> NDArray[np.float64]:
        """Return what a term adds; unwanted words act by their difference to saying nothing."""
        if term.kind == "text" and term.weight < 0:
            from deephash.models.composed import neutral_codes

            return self._direction(term) - _unit(neutral_codes(self.model))
        return self._direction(term)

    def _direction(self, term: Term) -> NDArray[np.float64]:
        if term.kind == "code":
            signs = term.value.signs().astype(np.float64)
            values = signs[0] + (signs[1:].mean(axis=0) if len(signs) > 1 else 0.0)
        else:
            values = self._continuous(term.kind, term.value)
        return _unit(values)

    def _continuous(self, kind: Kind, value: Any) -> NDArray[np.float64]:
        import torch

        self._require_mixable()
        with torch.inference_mode():
            return np.asarray(self.model(self._inputs(kind, value))[0].cpu(), dtype=np.float64)

    def _require_mixable(self) -> None:
        """Only where a bit means ``v >= 0`` can continuous codes be mixed."""
        from deephash.models.base import HashModel

        if type(self.model).bits is not HashModel.bits or self.model.num_levels > 1:
            raise UsageError(f"{self.description} does not binarise at zero, so its queries cannot be mixed")

    def _inputs(self, kind: Kind, value: Any) -> dict[str, Any]:
        from deephash.collection.pictures import open_picture

        self.require(kind)
        if kind == "image":  # opened as when the collection was made, so that a picture finds itself at distance 0
            value = open_picture(value, reduced_to=self.model.picture_side())
        prepared = self.model.preprocess(kind)(value)
        return {kind: prepared[None].to(self.model.device)}

    def _check(self, fingerprint: str, name: str) -> None:
        if self._expected is not None and fingerprint != self._expected:
            raise IncompatibleModel(
                f"{self._collection} holds codes of the model {self._expected}; you asked to search with {name} "
                f"({fingerprint}). Leave out --model to use the collection's own, or rebuild: "
                f"deephash index PICTURES --out NEW.dh --model {self.directory or 'MODEL'}"
            )


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-12))


def _model_folder(path: Path) -> Path:
    return path / "model" if (path / "model" / "model.json").is_file() else path
