"""A perceptual hash in the place of a model: named ``phash``, ``dhash`` or ``ahash``, with ``:256`` for more bits.

``imagehash:phash`` means the same. The folder of such a model says which hash it is and holds no weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Any, Self

import numpy as np

from deephash.codes import BinaryCodes, CodeLayout
from deephash.encoding.port import Encoded, Modality, Precision, Row
from deephash.encoding.record import FORMAT_VERSION, JSON_NAME, TENSORS_NAME
from deephash.errors import CollectionDamaged, UsageError
from deephash.pictures.perceptual import KINDS, SIDE, miniature
from deephash.version import __version__

CLASS = "PerceptualHash"
_PREFIX = "imagehash:"
_MOST_SIDE = 64
_NO_TENSORS = (8).to_bytes(8, "little") + b"{}      "  # a safetensors file of none, so that every folder has one


def is_perceptual(name: str) -> bool:
    """Say whether ``--model`` names a perceptual hash."""
    return name.removeprefix(_PREFIX).partition(":")[0] in KINDS


def perceptual_encoder(name: str, num_bits: int | None = None) -> PerceptualEncoder:
    """Return what ``phash``, ``imagehash:phash`` or ``phash:256`` names.

    Args:
        name: of the hash.
        num_bits: K, where it is not in the name: a square, such as 64, 144 or 256; None takes 64.

    Raises:
        UsageError: another number of bits, or two of them.
    """
    kind, _, said = name.removeprefix(_PREFIX).partition(":")
    if said and not said.isdecimal():
        raise UsageError(f"{name!r}: behind the colon stands the number of bits, for example {kind}:256")
    if said and num_bits not in (None, int(said)):
        raise UsageError(f"{name!r} says {said} bits, and --bits {num_bits}; leave one of them out")
    return PerceptualEncoder(kind, int(said) if said else SIDE * SIDE if num_bits is None else num_bits)


class PerceptualEncoder:
    """A perceptual hash as an encoder of pictures; see :class:`~deephash.encoding.port.CodeEncoder`.

    Args:
        kind: ``phash``, ``dhash`` or ``ahash``.
        num_bits: K, a square number from 4 to 4096.

    Raises:
        UsageError: no such hash or length.
    """

    engine = "numpy"
    method = CLASS
    num_levels = 1
    modalities = ("image",)
    picture_side = None  # decoded in full, so that bits are those of ImageHash
    neutral_phrase = None
    is_mixable = False  # a bit is 1 where its value lies above the median of all
    precision: Precision = "fp32"
    runs_on_cpu = True

    def __init__(self, kind: str, num_bits: int = SIDE * SIDE) -> None:
        side = isqrt(num_bits) if num_bits > 0 else 0
        if kind not in KINDS:
            raise UsageError(f"a perceptual hash is {', '.join(KINDS)}, not {kind!r}")
        if side * side != num_bits or not 2 <= side <= _MOST_SIDE:
            near = max(2, min(_MOST_SIDE, round(max(num_bits, 0) ** 0.5))) ** 2
            raise UsageError(f"{kind} has a square number of bits such as {near}, not {num_bits}")
        self.kind, self.side, self.num_bits = kind, side, num_bits
        self.layout = CodeLayout(num_bits, 1)

    @classmethod
    def of_record(cls, record: Mapping[str, Any], folder: Path) -> Self:
        """Return what the record of a model folder says. Raises CollectionDamaged."""
        said = record["init_args"]
        try:
            made = cls(str(said.get("kind")), int(record["num_bits"]))
        except UsageError as error:
            raise CollectionDamaged(f"{folder / JSON_NAME}: {error}") from None
        if made.fingerprint() != record["fingerprint"]:
            raise CollectionDamaged(f"{folder / JSON_NAME} has another fingerprint than its hash; copy it again")
        return made

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the hash's name and length."""
        return hashlib.sha256(f"deephash perceptual 1: {self.kind} {self.num_bits}".encode()).hexdigest()[:16]

    def vector_dim(self) -> int:
        """Raise UsageError: there are no vectors."""
        raise UsageError(f"{self.kind} has bits alone and no vectors to re-rank by; leave out --keep-vectors")

    def prepare(self, modality: Modality, item: Any) -> Row:
        """Return the grey miniature of a PIL picture. Raises UsageError for words."""
        self._require_pictures(modality)
        return miniature(item, self.kind, self.side)

    def unknown_words(self, phrase: str) -> list[tuple[str, str | None]]:
        """Return nothing: words are not read."""
        return []

    def neutral(self) -> Row:
        """Raise UsageError: words are not read."""
        raise UsageError(f"{self.kind} reads pictures, not words")

    def encode(
        self, modality: Modality, rows: Sequence[Row], *, continuous: bool = False, vectors: bool = False
    ) -> Encoded:
        """Return the codes of miniatures; as continuous codes -1 and 1."""
        self._require_pictures(modality)
        if vectors:
            self.vector_dim()
        bits = np.array([KINDS[self.kind].bits(row) for row in rows], bool).reshape(len(rows), self.num_bits)
        values = np.where(bits, 1, -1).astype(np.float32) if continuous else None
        return Encoded(BinaryCodes.from_bits(bits), values)

    def at(self, precision: Precision) -> Self:
        """Return itself; there is one precision."""
        if precision != "fp32":
            raise UsageError(f"{self.kind} has no network that could compute in {precision}; leave out --precision")
        return self

    @contextmanager
    def in_threads(self) -> Iterator[Callable[[], None]]:
        """Do nothing: each picture is computed in the thread that asks."""
        yield lambda: None

    def save(self, directory: Path) -> None:
        """Write the model folder."""
        directory.mkdir(parents=True, exist_ok=True)
        record = {
            "format_version": FORMAT_VERSION,
            "deephash": __version__,
            "class": CLASS,
            "num_bits": self.num_bits,
            "modalities": ["image"],
            "supervised": False,
            "fingerprint": self.fingerprint(),
            "weights_sha256": hashlib.sha256(_NO_TENSORS).hexdigest(),
            "init_args": {"kind": self.kind, "num_bits": self.num_bits},
        }
        (directory / TENSORS_NAME).write_bytes(_NO_TENSORS)
        (directory / JSON_NAME).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _require_pictures(self, modality: Modality) -> None:
        if modality != "image":
            raise UsageError(f"{self.kind} reads pictures, not words; a clip model reads both (deephash models list)")
