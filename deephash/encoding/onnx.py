"""A portable encoder: onnxruntime computes the towers of a model folder, on the CPU and without torch.

Every row is computed by itself and in one thread, so that a code depends neither on its neighbours in a batch nor on
how many threads there are; a network for pictures gains nothing from batches on a CPU. As many rows are computed at
once as threads call.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection.bit_certainty import BitCertainty, load_certainty
from deephash.encoding.doubt import uncertainty_of
from deephash.encoding.port import CodeEncoder, Encoded, Modality, Precision, Row
from deephash.encoding.portable import ENTRY, INT8_NAME, file_name, read_tower, towers_of
from deephash.encoding.readers import Reader, reader_of
from deephash.encoding.record import COPY_AGAIN, read_model_record
from deephash.errors import CollectionDamaged, UsageError
from deephash.foreign.names import printable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_ELSEWHERE = b"\n\x08location\x12"  # how a tensor says that its values lie in another file


def is_installed() -> bool:
    """Say whether onnxruntime is there."""
    return find_spec("onnxruntime") is not None


class OnnxEncoder:
    """The portable encoder of a model folder.

    Args:
        folder: a model folder whose record describes portable towers.
        precision: ``int8`` computes pictures in 8-bit integers, where the folder has such a tower.

    Raises:
        CollectionDamaged: the folder cannot be read, or carries no portable encoder.
        UsageError: it has none of that precision.
    """

    engine = "onnx"
    runs_on_cpu = True

    def __init__(self, folder: Path, precision: Precision = "fp32") -> None:
        self.folder, self._record, self.precision = folder, read_model_record(folder), precision
        self._towers = towers_of(self._record)
        if not self._towers:
            raise CollectionDamaged(f"{folder} carries no portable encoder; deephash models export {folder} makes one")
        lacking = what_precision_lacks(self._record, precision)
        if lacking:
            raise UsageError(lacking)
        self.method = str(self._record["class"])
        self.num_bits, self.num_levels = int(self._record["num_bits"]), int(self._record.get("num_levels", 1))
        self.layout = CodeLayout(self.num_bits, self.num_levels)
        self.modalities = tuple(self._record["modalities"])
        self._readers = {name: reader_of(tower["reads"], folder) for name, tower in self._towers.items()}
        self._sessions: dict[str, InferenceSession] = {}
        self._lock = threading.Lock()

    @property
    def picture_side(self) -> int | None:
        """Pixels to which the shorter side of a picture is brought; None for vectors."""
        return self._readers["image"].picture_side if "image" in self._readers else None

    @property
    def neutral_phrase(self) -> str | None:
        """The phrase that says nothing; None without a text tower that reads phrases."""
        return self._readers["text"].neutral_phrase if "text" in self._readers else None

    @property
    def is_mixable(self) -> bool:
        """Whether a bit is 1 exactly where the continuous code is at least 0."""
        return bool(self._record[ENTRY].get("mixable")) and self.layout.is_flat

    @cached_property
    def _own_bits(self) -> bool:
        return not self._record[ENTRY].get("mixable")

    @cached_property
    def certainty(self) -> Mapping[str, BitCertainty]:
        """How sure bits are, by modality; empty where nobody calibrated the model."""
        return load_certainty(self.folder)

    def fingerprint(self) -> str:
        """Return the model's fingerprint, as its record says it."""
        return str(self._record["fingerprint"])

    def vector_dim(self) -> int:
        """Return D of the vectors of pictures."""
        return int(self._towers["image"]["vector_dim"])

    def reads_vectors(self, modality: str) -> bool:
        """Say whether a tower reads vectors that were made elsewhere, not pictures or phrases."""
        return str(self._towers[modality]["reads"]["kind"]) == "vector"

    def prepare(self, modality: Modality, item: Any) -> Row:
        """Return one row of a PIL picture, a phrase or a vector."""
        return self._reader(modality).read(item)

    def unknown_words(self, phrase: str) -> list[tuple[str, str | None]]:
        """Return the words of a phrase that have no effect, each with a known one it may be a misspelling of."""
        reader = self._readers.get("text")
        return [] if reader is None or reader.unknown is None else reader.unknown(phrase)

    def neutral(self) -> Row:
        """Return the row of the neutral phrase."""
        reader = self._readers.get("text")
        if reader is None or reader.neutral is None:
            raise UsageError(f"this {self.method} reads no phrases")
        return reader.neutral()

    def encode(
        self, modality: Modality, rows: Sequence[Row], *, continuous: bool = False, vectors: bool = False
    ) -> Encoded:
        """Return the codes of rows, and what else is asked for; the network runs once a row."""
        if not rows:
            return Encoded(BinaryCodes(np.zeros((0, self.layout.width), np.uint8), self.num_bits, self.num_levels))
        wanted = ["continuous", *(["vectors"] if vectors else []), *(["bits"] if self._own_bits else [])]
        session = self._session(modality)
        made = [session.run(wanted, {"rows": row[None]}) for row in rows]
        found = {name: np.concatenate([outputs[place] for outputs in made]) for place, name in enumerate(wanted)}
        values: NDArray[np.float32] = found["continuous"]
        broken = int(np.isnan(values).reshape(len(values), -1).any(axis=1).sum())
        if broken:
            raise UsageError(
                f"{broken} of {len(values)} continuous codes hold NaN: the input holds NaN, or training diverged"
            )
        bits = found["bits"] if self._own_bits else values >= 0
        doubt = uncertainty_of(self.certainty, modality, values) if continuous else None
        return Encoded(BinaryCodes.from_bits(bits), values if continuous else None, found.get("vectors"), doubt)

    def at(self, precision: Precision) -> Self:
        """Return the same model in another precision; itself where it has it. Raises UsageError where there is none."""
        return self if precision == self.precision else type(self)(self.folder, precision)

    @contextmanager
    def in_threads(self) -> Iterator[Callable[[], None]]:
        """Every thread computes alone as it is."""
        yield lambda: None

    def save(self, directory: Path) -> None:
        """Copy the model folder, what torch needs of it included.

        Raises:
            CollectionDamaged: something in it is no file of its own, such as a link to one elsewhere.
        """
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise CollectionDamaged(f"{printable(path)} is no file of the model folder itself; {COPY_AGAIN}")
        shutil.copytree(self.folder, directory)

    def _reader(self, modality: str) -> Reader:
        if modality not in self._readers:
            raise UsageError(f"this {self.method} reads {', '.join(self._readers)}, not {modality}")
        return self._readers[modality]

    def _file(self, modality: str) -> tuple[Path, Mapping[str, Any]]:
        tower = self._towers[modality]
        if self.precision == "int8" and "int8" in tower:
            return self.folder / INT8_NAME, tower["int8"]
        return self.folder / file_name(modality), tower

    def _session(self, modality: str) -> InferenceSession:
        self._reader(modality)
        with self._lock:
            if modality not in self._sessions:
                self._sessions[modality] = _opened(*self._file(modality))
            return self._sessions[modality]


if TYPE_CHECKING:

    def _fits_the_port(encoder: OnnxEncoder) -> CodeEncoder:
        return encoder


def what_precision_lacks(record: Mapping[str, Any], precision: Precision | None) -> str:
    """Return why the portable encoder of a record cannot compute in a precision; empty where it can."""
    if precision == "bf16":
        return "a portable encoder computes in fp32 or int8; bf16 takes --engine torch"
    if precision == "int8" and not any("int8" in tower for tower in towers_of(record).values()):
        return (
            "the model has no int8 encoder; its ranges are measured on pictures: "
            "deephash models export MODEL --precision int8 --pictures FOLDER"
        )
    return ""


def _opened(path: Path, tower: Mapping[str, Any]) -> InferenceSession:
    """Return a tower ready to run. Raises CollectionDamaged for what onnxruntime or we do not take."""
    content = read_tower(path, tower)
    if _ELSEWHERE in content:
        raise CollectionDamaged(f"{path} names other files, which are not read; export it again")
    try:
        return session_of(content)
    except Exception as error:  # onnxruntime raises several kinds, all with the reason
        from onnxruntime import __version__ as version

        reason = " ".join(str(error).split())[:200]
        raise CollectionDamaged(
            f"{path} cannot be run by onnxruntime {version}: {reason}; take --engine torch, or "
            "export it again: deephash models export"
        ) from None


def session_of(graph: bytes) -> InferenceSession:
    """Return a graph ready to run, in one thread on the CPU and without a word."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])
