"""Scoring a trained model: read the run, encode both sides of its data set, say under which protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deephash.codes import BinaryCodes
from deephash.encoding.record import JSON_NAME, model_folder
from deephash.errors import DataError, UsageError
from deephash.models import HashModel, load_model
from deephash.scoring.encoding import described_side, direction_of, encoded_side, known_protocol
from deephash.scoring.sides import CodePair

if TYPE_CHECKING:
    from PIL.Image import Image

    from deephash.data import HashDataModule


def model_pair(target: Any, data: HashDataModule | None, task: str | None) -> CodePair:
    """Encode the query and database splits of ``data`` with a model, a model folder or a run folder.

    Raises:
        UsageError: no data set, or a task the model cannot do.
        DataError: a folder without a model or configuration.
    """
    model, data = model_and_data(target, data)
    chosen, (ask, answer) = direction_of(model, task)
    started = time.perf_counter()
    data.setup()
    data.attach(model)
    no_codes = BinaryCodes.from_bits(np.zeros((len(data.splits["train"]), 1)))  # baselines are fitted to the features
    return CodePair(
        query=encoded_side(model, data, "query", ask),
        database=encoded_side(model, data, "database", answer),
        method=type(model).__name__,
        protocol=known_protocol(model, data, chosen),
        train=described_side(data, "train", no_codes, "image", slice(None)),
        open_picture=_opener(data),
        timings={"encoding": time.perf_counter() - started},
    )


def model_and_data(target: Any, data: HashDataModule | None) -> tuple[HashModel, HashDataModule]:
    """Return the model, and ``data`` or else the run's own data set; errors as in :func:`model_pair`."""
    from deephash.data import StreamTask
    from deephash.data.codebook import CodeBook

    run = Path(target) if isinstance(target, (str, Path)) else None
    model = target if run is None else load_model(_model_folder(run))
    if not isinstance(model, HashModel):
        raise UsageError(f"a {type(target).__name__} cannot be scored; give a HashModel, a run, a collection or codes")
    if data is None:
        if run is None or not (run / "config.yaml").is_file():
            raise UsageError("which data set? give one: evaluate(model, Digits()), or a run folder with config.yaml")
        data = data_of_run(run)
        if isinstance(data, StreamTask):
            data.book = CodeBook.load(run)
    return model, data


def data_of_run(run: Path) -> HashDataModule:
    """Build the data module that a run's ``config.yaml`` names. Only classes of ``deephash.data`` are built.

    Raises:
        DataError: no readable configuration.
        UsageError: another class, or options it does not take.
    """
    from deephash.data.building import build_data, read_configuration
    from deephash.data.streams import STREAM_NAME

    file = run / "config.yaml"
    try:
        description = read_configuration(file)["data"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} names no data set: {type(error).__name__} {error}") from None
    if (run / STREAM_NAME).is_file() and isinstance(description, dict):  # its own copy: the original may be gone
        description = {
            **description,
            "init_args": {**(description.get("init_args") or {}), "stream": str(run / STREAM_NAME)},
        }
    return build_data(description, file)


def _model_folder(run: Path) -> Path:
    folder = model_folder(run)
    if not (folder / JSON_NAME).is_file():
        raise DataError(f"{run} holds no model: neither model.json nor model/model.json; `deephash train` writes them")
    return folder


def _opener(data: HashDataModule) -> Callable[[str], Image] | None:
    source = data.table.sources.get("image")
    if source is None:
        return None
    row_of = {name: row for row, name in enumerate(data.table.names)}

    def open_by_name(name: str) -> Image:
        picture: Image = source(row_of[name])
        return picture

    return open_by_name
