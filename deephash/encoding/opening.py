"""From a run, a model folder, a collection or a model in memory to an encoder; torch is imported here, not before."""

from __future__ import annotations

import logging
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deephash.collection.card import is_collection
from deephash.collection.reader import CollectionReader
from deephash.collection.stored import here
from deephash.encoding.onnx import OnnxEncoder, what_precision_lacks
from deephash.encoding.perceptual import CLASS, PerceptualEncoder
from deephash.encoding.port import CodeEncoder, Decode, Engine, Precision
from deephash.encoding.portable import towers_of
from deephash.encoding.record import model_folder, read_model_record
from deephash.errors import UsageError
from deephash.foreign.extras import install
from deephash.foreign.hub import HubName, fetched, is_hub_name

Source: TypeAlias = Any  # str, Path, CodeEncoder, or a HashModel, whose class is on a higher floor

_TORCH = "deephash.models.encoder", "TorchEncoder"  # on a higher floor, so imported by name when first opened
_log = logging.getLogger("deephash")


def open_encoder(
    source: Source, *, device: str | None = None, precision: Precision | None = None, engine: Engine = "auto"
) -> CodeEncoder:
    """Return an encoder.

    Args:
        source: a run, a model folder, or a collection (the model that made its codes); a HashModel, which is put into
            evaluation mode; or an encoder, which is returned.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ...; None leaves a model where it is. An encoder
            stays where it is.
        precision: ``bf16`` computes the network in bfloat16, by torch; ``int8`` in 8-bit integers, by onnxruntime and
            where the folder has such a tower; None leaves an encoder as it is, and is fp32 otherwise.
        engine: ``onnx`` takes the portable encoder of a folder, which needs no torch; ``torch`` the weights; ``auto``
            the portable one on a CPU, where the folder carries one.

    Raises:
        CollectionDamaged, FormatTooNew: the folder cannot be used.
        UsageError: the device or the engine cannot be used, or a collection carries no model.
    """
    if isinstance(source, CodeEncoder):
        return source if precision is None else source.at(precision)
    if isinstance(source, (str, Path)):
        folder = folder_of(source)
        if (record := read_model_record(folder))["class"] == CLASS:
            return PerceptualEncoder.of_record(record, folder).at(precision or "fp32")
        if _takes_onnx(folder, device, precision, engine):
            return OnnxEncoder(folder, precision or "fp32")
        opened: CodeEncoder = _torch().open(folder, device)
    elif engine == "onnx":
        raise UsageError("a model in memory is computed by torch; save it, and open the folder for --engine onnx")
    else:
        opened = _torch()(source, device)
    return opened.at(precision or "fp32")


class Manner(NamedTuple):
    """How the pictures of a collection become codes, beside by which model: its queries are made in the same way."""

    engine: Engine = "auto"
    precision: Precision | None = None
    decode: Decode = "reduced"


USUAL = Manner()


def manner_of(collection: CollectionReader, source: Source) -> Manner:
    """Return how queries of a collection are encoded by ``source``; in bf16 none are, and int8 where it is there."""
    precision: Precision | None = None
    if precision_of(collection) == "int8" and isinstance(source, (str, Path)):
        precision = "int8" if carries_int8(folder_of(source)) else None
        if precision is None:
            _log.warning(
                "%s was encoded in int8, which its model has no encoder for (any more); queries are encoded in fp32, a "
                "few bits of which are others",
                collection.path,
            )
    return Manner(engine_of(collection, source), precision, decode_of(collection))


def carries_int8(folder: Path) -> bool:
    """Say whether a model folder has an int8 tower."""
    return any("int8" in tower for tower in towers_of(read_model_record(folder)).values())


def int8_flip_rate(folder: Path) -> float | None:
    """Return the share of bits that the int8 tower of a model folder decides otherwise than fp32; None if not known."""
    tower = towers_of(read_model_record(folder)).get("image", {}).get("int8", {})
    return tower["flipped"] / tower["bits"] if "bits" in tower else None


def engine_of(collection: CollectionReader, source: Source) -> Engine:
    """Return what computed the codes of a collection, where it can go on computing them here; else ``auto``.

    It was noted of the first model: ``source``, which the collection may have been upgraded to, need not carry a
    portable encoder. Neither torch nor onnxruntime need be installed.
    """
    noted = collection.card.notes.get("engine")
    if noted == "torch" and find_spec("torch") is not None:
        return "torch"
    if noted == "onnx" and isinstance(source, (str, Path)) and find_spec("onnxruntime") is not None:
        return "onnx" if towers_of(read_model_record(folder_of(source))) else "auto"
    return "auto"


def precision_of(collection: CollectionReader) -> Precision:
    """Return the precision in which the codes of a collection were computed."""
    noted = collection.card.notes.get("precision")
    return noted if noted in ("bf16", "int8") else "fp32"


def decode_of(collection: CollectionReader) -> Decode:
    """Return whether pictures of a collection are decoded in full, or no larger than the network needs."""
    return "full" if collection.card.notes.get("decode") == "full" else "reduced"


def _torch() -> Any:
    if find_spec("torch") is None:
        raise UsageError(
            "torch is not installed, and this model carries no encoder that runs without it: make one where torch is "
            f"(deephash models export RUN), or install torch here: {install('clip')}"
        )
    return getattr(import_module(_TORCH[0]), _TORCH[1])


def _takes_onnx(folder: Path, device: str | None, precision: Precision | None, engine: Engine) -> bool:
    """Say whether the portable encoder computes. Raises UsageError where it is asked for and cannot."""
    if engine == "torch" or (engine == "auto" and device == "auto" and precision != "int8" and _has_gpu()):
        return False
    record = read_model_record(folder)
    lacking = _what_is_lacking(record, device, precision)
    if lacking and (engine == "onnx" or precision == "int8"):
        raise UsageError(f"{'--precision int8' if precision == 'int8' else '--engine onnx'}: {lacking}")
    return not lacking


def _what_is_lacking(record: dict[str, Any], device: str | None, precision: Precision | None) -> str:
    if device not in (None, "auto", "cpu"):
        return "a portable encoder computes on the CPU"
    if not towers_of(record):
        reason = (record.get("portable") or {}).get("reason")
        return f"the model has no portable encoder ({reason or 'deephash models export RUN makes one'})"
    if find_spec("onnxruntime") is None:
        _log.warning("onnxruntime is not installed, so torch encodes, which starts slowly: pip install onnxruntime")
        return "onnxruntime is not installed: pip install onnxruntime"
    return what_precision_lacks(record, precision)


def _has_gpu() -> bool:
    """Say whether this machine seems to have a GPU that torch could use; torch itself is not asked."""
    return shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()


def folder_of(source: str | Path) -> Path:
    """Return the model folder of a run, of a collection, of ``hf:USER/NAME``, or the folder itself.

    Raises:
        UsageError: a collection of codes alone, or an address that cannot be.
        DataError: the hub has no such model, or does not answer.
    """
    if is_hub_name(source):
        return model_folder(fetched(HubName.parse(str(source))))
    path = here(source)
    if not is_collection(path):
        return model_folder(path)
    from deephash.collection import Collection

    carried = Collection.open(path).model_path
    if carried is None:
        raise UsageError(f"{path} carries no model: its codes were imported; give the model that made them")
    return carried
