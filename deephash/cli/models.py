"""``deephash models``: which methods there are, and what a model folder holds."""

from __future__ import annotations

import inspect
from pathlib import Path

from deephash.cli.output import print_json, table
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


COMMANDS = {"list": list_methods, "info": info}
