"""Texts as vectors without a network: TF-IDF and bag of words, for captions, titles and tags."""

from __future__ import annotations

import hashlib
import json
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from deephash.backbones.spec import Backbone, Encoder
from deephash.encoding.phrases import known_counts, unknown_words, with_near, word_counts, words_of
from deephash.encoding.readers import VOCABULARY_LIMIT
from deephash.encoding.weight_files import find_weights
from deephash.errors import CollectionDamaged, DataError, UsageError
from deephash.foreign import read_json, refused_as

VOCABULARY_NAME = "vocabulary.json"


class TextEncoder(Encoder):
    """An encoder of phrases.

    Attributes:
        neutral_phrase: what :meth:`neutral` encodes; composed queries put it before their words. May be empty.
    """

    neutral_phrase: str = ""

    @abstractmethod
    def neutral(self) -> Tensor:
        """Return one row of the batch that says nothing, the origin of word directions in composed queries."""

    def unknown_words(self, text: str) -> list[tuple[str, str | None]]:
        """Return the words of ``text`` that have no effect, each with a known one it may mean; none for word pieces."""
        return []

    @abstractmethod
    def preprocess_data(self) -> Callable[[str], Tensor]:
        """Return the function for items of a data set, which may be empty; :meth:`preprocess` refuses such queries."""


class WordVectors(TextEncoder):
    """Base of ``tfidf:D`` and ``bow:D``: counts over a vocabulary of at most D words, fitted on the training texts.

    ``weights`` may name a vocabulary file written before; otherwise :meth:`fit_texts` is called with the training texts
    when features are cached. ``options``: ``min_documents``, texts a word must occur in (default 1).

    Args:
        spec: the description.
        detail: D, digits.
    """

    known_options: ClassVar[tuple[str, ...] | None] = ("min_documents",)
    idf: Tensor

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        if not (detail.isascii() and detail.isdigit() and int(detail)):
            raise UsageError(f"backbone {spec.name!r} needs the size of its vocabulary: tfidf:1000 or bow:1000")
        self.spec, self.num_features = spec, int(detail)
        self.terms: dict[str, int] = {}
        self.register_buffer("idf", torch.zeros(self.num_features))
        if spec.weights not in (None, "hub"):
            self._read(find_weights(str(spec.weights)))

    @property
    def needs_texts(self) -> bool:
        """Say whether a vocabulary must still be fitted."""
        return not self.terms

    def fit_texts(self, texts: Iterable[str]) -> None:
        """Take the most frequent words of ``texts`` (by number of texts, then by alphabet)."""
        frequency: Counter[str] = Counter()
        total = 0
        for text in texts:
            total += 1
            frequency.update(set(words_of(text)))
        least = int(self.spec.options.get("min_documents", 1))
        kept = sorted((word for word in frequency if frequency[word] >= least), key=lambda w: (-frequency[w], w))
        if not kept:
            raise UsageError(f"{total} training texts hold no word that occurs in {least} of them")
        self._take({word: frequency[word] for word in kept[: self.num_features]}, total)

    def unknown_words(self, text: str) -> list[tuple[str, str | None]]:
        """Return the words of ``text`` that the vocabulary lacks, each with a known one it may be a misspelling of."""
        return with_near(unknown_words(text, self.terms), self.terms)

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the function from a phrase to counts [D]; it refuses phrases without a single known word."""
        return self._query_counts

    def preprocess_data(self) -> Callable[[str], Tensor]:
        """Return the function from a text to counts [D], zeros where no word is known."""
        return self._counts

    def neutral(self) -> Tensor:
        """Return zeros [D]."""
        return torch.zeros(self.num_features)

    def _query_counts(self, phrase: Any) -> Tensor:
        self._require_vocabulary()
        return torch.from_numpy(known_counts(phrase, self.terms, self.num_features, self.spec.name))

    def _counts(self, text: str) -> Tensor:
        self._require_vocabulary()
        return torch.from_numpy(word_counts(text, self.terms, self.num_features))

    def _require_vocabulary(self) -> None:
        if not self.terms:
            raise UsageError(
                f"{self.spec.name} has no vocabulary yet: train the model, call fit_texts(training texts), or give a "
                "vocabulary file as weights"
            )

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any]:
        """Return what :mod:`deephash.encoding.readers` makes the same counts of."""
        file = f"{assets}/{VOCABULARY_NAME}"
        return {"kind": "word-counts", "file": file, "width": self.num_features, "called": self.spec.name}

    def _take(self, frequency: dict[str, int], total: int) -> None:
        self._frequency, self._total = frequency, total
        self.terms = {word: column for column, word in enumerate(frequency)}
        idf = [math.log((1 + total) / (1 + count)) + 1 for count in frequency.values()]
        self.idf.zero_()
        self.idf[: len(idf)] = torch.tensor(idf)
        # the digest stands in the description, so that cached features and fingerprints follow the vocabulary
        digest = hashlib.sha256(json.dumps([frequency, total]).encode()).hexdigest()[:16]
        self.spec = replace(self.spec, transform={"vocabulary": digest})

    def save_assets(self, directory: Path) -> None:
        """Write the vocabulary: words with the number of training texts each occurred in."""
        record = {"total": self._total, "frequency": self._frequency} if self.terms else {"total": 0, "frequency": {}}
        (directory / VOCABULARY_NAME).write_text(json.dumps(record, ensure_ascii=False, indent=0), encoding="utf8")

    def load_assets(self, directory: Path) -> None:
        """Read what :meth:`save_assets` wrote. Raises CollectionDamaged."""
        try:
            self._read(directory / VOCABULARY_NAME)
        except DataError as error:
            raise CollectionDamaged(f"{error}; copy the model folder again") from None

    def _read(self, path: Path) -> None:
        with refused_as(DataError, "it is not a vocabulary written by deephash"):
            record = read_json(path, "vocabulary", limit=VOCABULARY_LIMIT)
        frequency, total = dict(record["frequency"]), int(record["total"])
        if len(frequency) > self.num_features:
            raise UsageError(f"{path} holds {len(frequency)} words, but {self.spec.name} has {self.num_features}")
        if frequency:
            self._take(frequency, total)


class TfIdf(WordVectors):
    """``tfidf:D``: counts times ln((1 + n) / (1 + df)) + 1, rows of unit norm."""

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D] of counts [B, D]."""
        weighted = batch * self.idf
        unit: Tensor = weighted / weighted.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return unit


class BagOfWords(WordVectors):
    """``bow:D``: 1 where a word occurs, as the tag vectors of MIRFlickr and NUS-WIDE are."""

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D] of counts [B, D]."""
        return (batch > 0).to(batch.dtype)
