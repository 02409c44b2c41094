"""``deephash models``: which methods there are, and what a model folder holds."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from deephash.cli.model_views import show_views
from deephash.cli.output import print_json, table
from deephash.cli.publish import push_model
from deephash.cli.specs import GRAMMAR, KNOWN, Known
from deephash.errors import UsageError
from deephash.foreign.names import printable
from deephash.foreign.packages import BACKBONES, METHODS, Declared, declared

_READS = {"image": "pictures", "text": "words"}


def list_methods(*, json: bool = False) -> None:
    """List training-free names with what they read, weigh and are good at, then the methods and their configurations.

    $ deephash models list

    Args:
        json: one object a line; the names worth knowing have ``name``, the methods ``configs`` and ``package``.
    """
    if json:
        for known in KNOWN:
            print_json({"method": known.name.partition(":")[0], **asdict(known)})
        for record in _methods():
            print_json(record)
        return
    print("Training-free: deephash index PICTURES --out X.dh --model NAME\n")
    print(table([_cells(known) for known in KNOWN], ("name", "reads", "bits", "weights", "licence", "good at")))
    print(f"\n{GRAMMAR}\n", flush=True)  # the rest takes the seconds that torch needs
    print("Trained: deephash train --config CONFIG, or --config any/folder_64 --method NAME\n")
    rows = [(_called(each), each["reads"], each["about"], " ".join(each["configs"])) for each in _methods()]
    print(table(rows, ("method", "reads", "", "configs")))
    if others := declared(BACKBONES):
        print(
            "\nBackbones of packages, --backbone NAME: " + ", ".join(f"{each.name} ({each.package})" for each in others)
        )


def _methods() -> list[dict[str, Any]]:
    import deephash.models as models
    from deephash.training.configurations import shipped_configs

    configs = shipped_configs()
    records = []
    for name, cls in models.methods().items():
        folder = cls.__module__.rpartition(".")[2]
        says = (inspect.getdoc(inspect.getmodule(cls)) or "").split("\n")[0]
        mine = [each for each in configs if each.startswith(f"{folder}/")]
        reads = ", ".join(_READS.get(each, each) for each in cls.modalities)
        records.append({"method": name, "reads": reads, "about": says, "configs": mine, "package": "deephash"})
    return records + [_of_package(each) for each in declared(METHODS)]


def _of_package(entry: Declared) -> dict[str, Any]:
    """Return the record of a method that a package declares; one that cannot be imported says so in its place."""
    from deephash.models.catalogue import require_method

    record = {"method": entry.name, "package": entry.package, "class": entry.path, "reads": "", "configs": []}
    try:
        cls = require_method(entry.load(), entry.path, f"the package {entry.package}")
    except UsageError as error:
        return record | {"about": printable(str(error))}
    says = (inspect.getdoc(cls) or "").split("\n")[0]
    return record | {"reads": ", ".join(_READS.get(each, each) for each in cls.modalities), "about": says}


def _called(record: dict[str, Any]) -> str:
    return record["method"] if record["package"] == "deephash" else f"{record['method']} ({record['package']})"


def _cells(known: Known) -> tuple[str, ...]:
    bits = f"{min(256, known.most_bits)}, up to {known.most_bits}"
    return known.name, known.reads, bits, f"{known.megabytes:.0f} MB", known.licence, known.good_at


def info(folder: Path, *, views: bool = False, json: bool = False) -> None:
    """Say what a model folder holds, without loading it.

    $ deephash models info runs/multi_view --views    # how much each view counts, which are redundant

    Args:
        folder: RUN/model, or a run folder.
        views: of a multi-view model, the weight of each view, its bits, and how views go together; loads the model.
        json: one JSON object.
    """
    from deephash.encoding.card import portable_facts
    from deephash.encoding.record import model_folder, read_model_record

    record = read_model_record(model_folder(folder))
    if views:
        show_views(folder, json=json)
        return
    if json:
        print_json(record)
        return
    print(f"{record['class']}  {record['num_bits']} bits  fingerprint {record['fingerprint']}")
    print(f"reads {', '.join(record['modalities'])}; written by deephash {record['deephash']}")
    for fact in portable_facts(record):
        print(fact)
    for name, value in record["init_args"].items():
        print(f"  {printable(name):16} {printable(str(value))}")


def export(
    model: Path,
    /,
    *,
    format: Literal["onnx", "torchscript", "openvino"] = "onnx",
    out: Path | None = None,
    pictures: Path | None = None,
    precision: Literal["fp32", "int8"] = "fp32",
) -> int:
    """Write a model in a form that runs without deephash, or give its folder an encoder that runs without torch.

    $ deephash models export runs/orthohash                       # encoder.onnx beside the weights
    $ deephash models export runs/orthohash --pictures ~/Pictures # and how many bits it decides otherwise than torch
    $ deephash models export runs/orthohash --precision int8 --pictures ~/Pictures
    $ deephash models export runs/orthohash --format torchscript --out traced

    Args:
        model: a run or a model folder.
        format: onnx, torchscript or openvino; rows go in, ``continuous`` and ``vectors`` come out.
        out: a folder for the files; onnx goes into the model folder where this is left out.
        pictures: a folder; on 64 of its pictures bits are compared with torch's, which the model's card then says.
        precision: int8 adds an encoder in 8-bit integers, whose ranges are measured on 128 of the pictures; index
            --precision int8 uses it.
    """
    from deephash.encoding.record import model_folder
    from deephash.models.exporting import export_to

    folder = model_folder(model)
    if format == "onnx" and out is None:
        _export_beside(folder, pictures, precision)
        return 0
    if pictures is not None or precision != "fp32":
        raise UsageError("--pictures and --precision go with the encoder in the model folder: no --format and no --out")
    for path in export_to(folder, folder / format if out is None else out, format):
        print(path)
    return 0


def _export_beside(folder: Path, pictures: Path | None, precision: str) -> None:
    from deephash.encoding.card import portable_facts
    from deephash.encoding.flips import SAMPLE
    from deephash.encoding.onnx import OnnxEncoder
    from deephash.encoding.quantising import INT8_SAMPLE, quantise
    from deephash.encoding.record import read_model_record
    from deephash.encoding.samples import sample_rows
    from deephash.models.exporting import compare_with_torch, make_portable

    if precision == "int8" and pictures is None:
        raise UsageError("--precision int8 measures ranges on pictures: add --pictures FOLDER")
    made = make_portable(folder)
    if "reason" in made:
        raise UsageError(f"{folder} keeps to torch: {made['reason']}")
    if pictures is not None:
        rows = sample_rows(OnnxEncoder(folder), pictures, INT8_SAMPLE if precision == "int8" else SAMPLE)
        compare_with_torch(folder, {"image": rows[:SAMPLE]})
        if precision == "int8":
            quantise(folder, rows)
    for fact in portable_facts(read_model_record(folder)):
        print(fact)


COMMANDS = {"list": list_methods, "info": info, "export": export, "push": push_model}
