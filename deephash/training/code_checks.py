"""The codes of a finished run, inspected: what is wrong is told when training ends, not when searches disappoint."""

from __future__ import annotations

from deephash.data.datamodule import HashDataModule
from deephash.evaluation.inspection import inspect_codes
from deephash.models import HashModel
from deephash.scoring.encoding import direction_of, encoded_side

LEAST = 32  # codes; of fewer, half a bit's values are chance


def warnings_of_codes(model: HashModel, data: HashDataModule) -> list[str]:
    """Return what is wrong with the codes of the database, by modality where there are several.

    Where its pictures would have to be decoded once more, those of the validation items are looked at.
    """
    found = []
    for modality in dict.fromkeys(direction_of(model)[1]):
        side = encoded_side(model, data, _split_of(model, data, modality), modality)
        if len(side) < LEAST:
            continue
        said = inspect_codes(side.codes, labels=side.labels, class_names=side.class_names, supervised=model.supervised)
        found += [f"{modality} codes: {each}" if modality else each for each in said]
    return found


def _split_of(model: HashModel, data: HashDataModule, modality: str | None) -> str:
    read = [modality] if modality else list(model.encoders)
    cached = all(name in data.splits["database"].features for name in read)
    return "database" if cached or "validation_query" not in data.splits else "validation_query"
