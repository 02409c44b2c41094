"""``deephash models``: which methods there are, and what a model folder holds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal

from deephash.cli.output import print_json, table
from deephash.errors import UsageError
from deephash.foreign.names import printable


def list_methods(*, json: bool = False) -> None:
    """List the methods, with the configurations that ship for each.

    Args:
        json: one object a line.
    """
    import deephash.models as models
    from deephash.training.configurations import shipped_configs

    configs = shipped_configs()
    records = []
    for name, cls in models.methods().items():
        folder = cls.__module__.rpartition(".")[2]
        says = (inspect.getdoc(inspect.getmodule(cls)) or "").split("\n")[0]
        mine = [each for each in configs if each.startswith(f"{folder}/")]
        records.append({"method": name, "about": says, "configs": mine})
    if json:
        for record in records:
            print_json(record)
        return
    print(
        table(
            [(each["method"], each["about"], " ".join(each["configs"])) for each in records], ("method", "", "configs")
        )
    )


def info(folder: Path, *, json: bool = False) -> None:
    """Say what a model folder holds, without loading it.

    Args:
        folder: RUN/model, or a run folder.
        json: one JSON object.
    """
    from deephash.encoding.record import model_folder, read_model_record

    record = read_model_record(model_folder(folder))
    if json:
        print_json(record)
        return
    print(f"{record['class']}  {record['num_bits']} bits  fingerprint {record['fingerprint']}")
    print(f"reads {', '.join(record['modalities'])}; written by deephash {record['deephash']}")
    for name, value in record["init_args"].items():
        print(f"  {printable(name):16} {printable(str(value))}")


def export(
    model: Path, /, *, format: Literal["onnx", "torchscript", "openvino"] = "onnx", out: Path | None = None
) -> int:
    """Write a model in a form that runs without deephash, or give its folder an encoder that runs without torch.

    $ deephash models export runs/orthohash                       # encoder.onnx beside the weights
    $ deephash models export runs/orthohash --format torchscript --out traced

    Args:
        model: a run or a model folder.
        format: onnx, torchscript or openvino; rows go in, ``continuous`` and ``vectors`` come out.
        out: a folder for the files; onnx goes into the model folder where this is left out.
    """
    from deephash.encoding.record import model_folder
    from deephash.models.exporting import export_to, make_portable

    folder = model_folder(model)
    if format == "onnx" and out is None:
        made = make_portable(folder)
        if "reason" in made:
            raise UsageError(f"{folder} keeps to torch: {made['reason']}")
        print(f"{folder}: {', '.join(made['towers'])}; opset {made['opset']}, codes differ by {made['difference']:.1g}")
        return 0
    for path in export_to(folder, folder / format if out is None else out, format):
        print(path)
    return 0


COMMANDS = {"list": list_methods, "info": info, "export": export}
