"""What is attacked: a run's queries against its database, or items of a collection against the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.attacks.base import Known
from deephash.attacks.victims import Frame, Victim, frame_of, victim_of
from deephash.collection.sources.again import source_of
from deephash.data.table import labelled
from deephash.errors import DataError, UnreadablePicture, UsageError
from deephash.evaluation.codefile import CodeFile, number_labels
from deephash.models import HashModel, load_model
from deephash.pictures import open_picture
from deephash.scoring.encoding import direction_of, encoded_side
from deephash.scoring.runs import model_and_data, model_pair
from deephash.scoring.sides import CodePair, Draw, collection_pair

if TYPE_CHECKING:
    from PIL.Image import Image

    from deephash.collection import Collection

MOST_KNOWN = 20_000  # labelled codes that guide codes are made of


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with pictures that ask, items that are searched, and what an attacker knows.

    Attributes:
        model: the victim.
        pair: who asks (those that were chosen) and who is searched, as they are scored.
        known: codes and labels of the training split, or of the collection.
        open_picture: name of a query or known item -> picture, as deployed.
        captions: signs float32 [Q, K] of the queries' own texts, where texts are searched; zeros where one has none.
        pictureless: names of known items that are texts alone.
    """

    model: HashModel
    pair: CodePair
    known: CodeFile
    open_picture: Callable[[str], Image]
    captions: NDArray[np.float32] | None = None
    pictureless: frozenset[str] = frozenset()

    @property
    def victim(self) -> Victim:
        """The model as attacks see it."""
        return victim_of(self.model)

    @property
    def frame(self) -> Frame:
        """How pictures are brought to the pixels that are attacked."""
        return frame_of(self.model)

    @property
    def names(self) -> list[str]:
        """Of the queries."""
        assert self.pair.query.names is not None
        return [str(name) for name in self.pair.query.names.tolist()]

    @property
    def numbered(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[str, ...]] | None:
        """Labels of queries, database and known items in one numbering, and the words for it; None without labels."""
        query, database, known = self.pair.query.labels, self.pair.database.labels, self.known.labels
        if query is None or database is None or known is None:
            return None
        return query, database, known, self.pair.query.class_names

    @property
    def pictured(self) -> list[int]:
        """Rows of the known items that have a picture; none where items have no names."""
        names = [] if self.known.names is None else self.known.names.tolist()
        return [row for row, name in enumerate(names) if str(name) not in self.pictureless]

    def pixels(self, names: Sequence[str]) -> Tensor:
        """Return pictures float32 [B, 3, H, W] in [0, 1], on the 8-bit grid.

        Raises:
            UnreadablePicture: one of them cannot be opened.
        """
        return torch.stack([self.frame.cut(self.open_picture(name)) for name in names])

    def known_codes(self) -> Known:
        """Return what an attacker knows, as tensors."""
        return _as_known(self.known)

    def database_codes(self) -> Known:
        """Return what a search service holds, as tensors."""
        return _as_known(self.pair.database)


def subject_of(
    target: str | Path, *, queries: int, seed: int, label: str = "label", task: str | None = None
) -> Subject:
    """Read a run folder or a collection and draw the queries that are attacked.

    Args:
        target: the folder.
        queries: how many are attacked, at most; drawn by ``seed`` from those with a label.
        seed: of the draw.
        label: attribute of a collection that holds the class.
        task: ``i2t`` or ``i2i`` of a cross-modal model.

    Raises:
        UsageError: text only, vectors only, codes without a model, no query to attack.
        DataError: no such folder.
    """
    if queries < 1:
        raise UsageError(f"at least one query is attacked, not {queries}")
    path = Path(target)
    if not path.exists():
        raise DataError(f"{path}: no such run folder or collection")
    if (path / "collection.json").is_file():
        if task not in (None, "i2i"):
            raise UsageError(f"a collection holds pictures only, so --task {task} has nothing to search; leave it out")
        return _of_collection(path, queries, seed, label)
    return _of_run(path, queries, seed, task)


def _of_run(path: Path, queries: int, seed: int, task: str | None) -> Subject:
    model, data = model_and_data(path, None)
    frame_of(model)  # refuses what has no pixels
    _, (asks, answers) = direction_of(model, task)
    if asks == "text":
        raise UsageError(f"the task {task} asks with texts, and only pictures are attacked; use --task i2t or i2i")
    pair = model_pair(model, data, task)
    source = data.table.sources.get("image")
    if source is None:
        raise UsageError(f"{type(data).__name__} holds no pictures, only vectors: nothing to attack")
    row_of = {name: row for row, name in enumerate(data.table.names)}
    known = encoded_side(model, data, "train", answers)
    found = _subject(model, _drawn(pair, queries, seed), known, lambda name: source(row_of[name]), seed)
    present = data.splits["train"].present
    if "image" in present:
        names = np.asarray(data.splits["train"].names, dtype=str)
        found = replace(found, pictureless=frozenset(names[~np.asarray(present["image"], dtype=bool)].tolist()))
    if answers != "text":
        return found
    return replace(found, captions=_captions(encoded_side(model, data, "query", "text"), found.names))


def _captions(texts: CodeFile, names: Sequence[str]) -> NDArray[np.float32]:
    """Return the code of each query's own text; of several the majority."""
    assert texts.names is not None
    row_of = {name: row for row, name in enumerate(names)}
    votes = np.zeros((len(names), texts.codes.num_bits), np.float32)
    for name, signs in zip(texts.names.tolist(), texts.codes.signs(), strict=True):
        if name in row_of:
            votes[row_of[name]] += signs
    known = np.abs(votes).any(axis=1, keepdims=True)
    return np.where(known, np.where(votes >= 0, 1, -1), 0).astype(np.float32)


def _of_collection(path: Path, queries: int, seed: int, label: str) -> Subject:
    from deephash.collection import Collection

    collection = Collection.open(path)
    if collection.model_path is None:
        raise UsageError(f"{path} holds codes without a model; index the pictures with one (--model) to attack it")
    model = load_model(collection.model_path)
    frame_of(model)
    if collection.root is None:
        raise UsageError(f"{path} knows no folder of pictures, so there is none to attack")
    pair = collection_pair(collection, Draw(label, num_queries=max(queries, 1), seed=seed))
    opener = _opener(collection, model.picture_side())
    return _subject(model, _drawn(pair, queries, seed), pair.database, opener, seed)


def _subject(model: HashModel, pair: CodePair, known: CodeFile, opened: Callable[[str], Image], seed: int) -> Subject:
    """Put all labels into one numbering, so that targets mean the same on every side."""
    known = _at_most(known, MOST_KNOWN, seed)
    sides = (pair.query, pair.database, known)
    columns = [(side.source, side.labels) for side in sides if side.labels is not None]
    if len(columns) < len(sides):
        return Subject(model, pair, known, opened)
    labels, words = number_labels(columns)
    words = words or pair.query.class_names or pair.database.class_names
    query, database, known = (
        replace(side, labels=column, class_names=words) for side, column in zip(sides, labels, strict=True)
    )
    return Subject(model, replace(pair, query=query, database=database), known, opened)


def _opener(collection: Collection, side: int | None) -> Callable[[str], Image]:
    def open_by_uri(uri: str) -> Image:
        found = collection.find([uri])
        if uri not in found:
            raise UnreadablePicture(f"{uri} is no longer in {collection.path}")
        return open_picture(source_of(collection, collection.items([found[uri]])[0]), reduced_to=side)

    return open_by_uri


def _drawn(pair: CodePair, queries: int, seed: int) -> CodePair:
    """Keep at most so many queries, labelled ones where there are labels."""
    side = pair.query
    if side.names is None:
        side = replace(side, names=np.array([str(row) for row in range(len(side))]))
    able = np.arange(len(side))
    if side.labels is not None:
        words = side.labels.dtype.kind == "U"
        able = np.flatnonzero(side.labels != "" if words else labelled(side.labels))
    if not len(able):
        raise UsageError("no query has a label, so nothing says what an attack takes away")
    kept = np.sort(np.random.RandomState(seed).permutation(able)[:queries])  # its stream is frozen for good
    return replace(pair, query=side.take(kept))


def _as_known(side: CodeFile) -> Known:
    labels = None if side.labels is None else torch.as_tensor(side.labels.astype(np.int64))
    return Known(torch.from_numpy(side.codes.signs().astype(np.float32)), labels)


def _at_most(side: CodeFile, most: int, seed: int) -> CodeFile:
    if len(side) <= most:
        return side
    return side.take(np.sort(np.random.RandomState(seed).permutation(len(side))[:most]))
