"""A new collection: the model goes in, and its portable encoder is measured on the pictures that it is to encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deephash.collection import Collection
from deephash.collection.folder import FoundFile
from deephash.encoding import CodeEncoder, open_encoder
from deephash.encoding.flips import SAMPLE, count_flips, note_of_tower
from deephash.encoding.opening import Source, carries_int8, decode_of, engine_of, folder_of, precision_of
from deephash.encoding.port import Decode, Engine, Precision, Row
from deephash.encoding.product import add_column
from deephash.encoding.quantising import INT8_SAMPLE, quantise
from deephash.encoding.record import read_model_record
from deephash.encoding.samples import evenly
from deephash.errors import DeephashError, UsageError
from deephash.ingest.encoder import StreamEncoder


@dataclass(frozen=True)
class Wishes:
    """What was asked for, see :func:`~deephash.ingest.index_folder`."""

    device: str = "auto"
    engine: Engine = "auto"
    precision: Precision | None = None
    decode: Decode | None = None
    keep_vectors: bool = False

    def open(self, source: Source, precision: Precision, engine: Engine) -> CodeEncoder:
        """Return an encoder; in fp32 for int8, which is made of it. A model in memory is torch's until it is saved."""
        return open_encoder(
            source,
            device=self.device,
            precision="fp32" if precision == "int8" else precision,
            engine=engine if isinstance(source, (str, Path)) else "auto",
        )


def create(
    target: Path, source: Source, root: str | Path, files: Sequence[FoundFile], wishes: Wishes
) -> tuple[Collection, CodeEncoder]:
    """Make the collection, and return it with what is to encode: its own portable encoder, where it now carries one.

    Where that was made just now from a model in memory, bits are compared with torch's on a sample of the pictures.

    Raises:
        DeephashError: what was asked for cannot be had; no collection is left behind then.
    """
    precision = wishes.precision or "fp32"
    encoder = wishes.open(source, precision, wishes.engine)
    collection = Collection.create(
        target,
        num_bits=encoder.num_bits,
        num_levels=encoder.num_levels,
        model=encoder,
        vector_dim=encoder.vector_dim() if wishes.keep_vectors else None,
        root=root,
        notes={"precision": precision, **({"decode": "full"} if wishes.decode == "full" else {})},
    )
    try:
        add_column(collection)
        own = _own_encoder(collection, encoder, files, wishes)
    except DeephashError:
        if not len(made := Collection.open(target)):  # it would keep a precision that it cannot be filled in
            made.discard()
        raise
    collection.note("engine", own.engine)
    return collection, own


def _own_encoder(
    collection: Collection, encoder: CodeEncoder, files: Sequence[FoundFile], wishes: Wishes
) -> CodeEncoder:
    own, precision = encoder, precision_of(collection)
    if encoder.engine == "torch" and wishes.engine != "torch" and collection.model_path is not None:
        own = wishes.open(collection.model_path, precision, wishes.engine)
    if own.engine == "onnx" and encoder.engine == "torch":
        _compare(collection, encoder, own, files)
    return _in_precision(collection, own, files)


def go_on(collection: Collection, source: Source, files: Sequence[FoundFile], wishes: Wishes) -> CodeEncoder:
    """Return what adds to a collection: by its engine where none was asked for, in its precision.

    Raises:
        IncompatibleModel: it holds codes of another model.
        UsageError: something is asked for that it does not have.
    """
    require_fit(collection, wishes)
    used, engine = precision_of(collection), wishes.engine
    if engine == "auto" and used != "bf16":
        engine = engine_of(collection, source)
    encoder = wishes.open(source, used, engine)
    collection.check_model(encoder)
    return _in_precision(collection, encoder, files)


def is_model_of(collection: Collection, source: Source) -> bool:
    """Say whether a folder names the model that a collection has, by its record alone; nothing is loaded."""
    if not isinstance(source, (str, Path)):
        return False
    return read_model_record(folder_of(source)).get("fingerprint") == collection.fingerprint


def require_fit(collection: Collection, wishes: Wishes) -> None:
    """Raise UsageError where something is asked for that a collection does not have; nothing is loaded."""
    used = precision_of(collection)
    if wishes.precision not in (None, used):
        raise UsageError(
            f"{collection.path} was encoded in {used}; codes of two precisions are not mixed. Add --precision {used}"
        )
    if wishes.decode not in (None, decode_of(collection)):
        raise UsageError(
            f"pictures of {collection.path} are decoded in the {decode_of(collection)} way, and two are not mixed; "
            "leave out --decode, or make a new collection"
        )
    if wishes.keep_vectors and not collection.has_vectors:
        raise UsageError(f"{collection.path} was made without vectors; make it anew to keep them")


def _in_precision(collection: Collection, encoder: CodeEncoder, files: Sequence[FoundFile]) -> CodeEncoder:
    """Return the collection's own encoder in its precision; the int8 tower of a new one is made of ``files``.

    Raises:
        UsageError: the encoder computes by torch, there are too few pictures, or the tower that made the codes is gone.
    """
    folder = collection.model_path
    if precision_of(collection) != "int8" or folder is None:
        return encoder
    if encoder.engine != "onnx":
        raise UsageError("--precision int8 is computed by onnxruntime on a CPU; this model keeps to torch")
    if not carries_int8(folder) and len(collection):
        raise UsageError(
            f"{collection.path} was encoded in int8, and {folder} has no int8 encoder (any more); another would give "
            "other codes. Copy the folder back, or make one and a new collection by it: "
            f"deephash models export {folder} --precision int8 --pictures FOLDER"
        )
    if not carries_int8(folder):
        quantise(folder, _rows(collection, encoder, files, INT8_SAMPLE))
    return open_encoder(folder, precision="int8", engine="onnx")


def _compare(collection: Collection, torch: CodeEncoder, own: CodeEncoder, files: Sequence[FoundFile]) -> None:
    rows = _rows(collection, own, files, SAMPLE)
    if rows and collection.model_path is not None:
        note_of_tower(collection.model_path, "image", flips=count_flips(torch, own, "image", rows))


def _rows(collection: Collection, encoder: CodeEncoder, files: Sequence[FoundFile], most: int) -> list[Row]:
    """Return what the network sees of some files, evenly spread over all; those that cannot be read are left out."""
    chosen = [files[place] for place in evenly(len(files), most)]
    stream = StreamEncoder(encoder, precision=encoder.precision, device=None, decode=decode_of(collection))
    return stream.rows([(file, None) for file in chosen])
