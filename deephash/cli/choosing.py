"""What ``--model`` names: mistakes first, as torch takes seconds to load, then the model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deephash.cli.output import note
from deephash.cli.specs import require_bits, require_spec
from deephash.encoding.perceptual import is_perceptual, perceptual_encoder
from deephash.errors import DataError, UsageError

if TYPE_CHECKING:
    from deephash.encoding.opening import Source
    from deephash.pictures import PictureMemory

AUTO = "auto"


class Asked(NamedTuple):
    """A model, and the name of it that its collection's card keeps; both None for the collection's own.

    ``memory`` has the pictures that were decoded to fit it.
    """

    name: str | None = None
    source: Source | None = None
    memory: PictureMemory | None = None


def check_asked(folder: str | Path, model: str, bits: int | None, weights: Path | None) -> None:
    """Refuse a folder (or a shard, or an address), a length or a model that cannot be meant.

    Raises:
        DataError: no such folder, run or file of weights.
        UsageError: less than one bit, or no name of a model.
    """
    from deephash.collection.sources.every import require_pictures_at

    require_pictures_at(folder)
    require_bits(bits)
    if is_perceptual(model) and not Path(model).is_dir():
        perceptual_encoder(model, bits)
        if weights is not None:
            raise UsageError(f"{model} has no weights; leave out --weights")
    elif model != AUTO and not Path(model).is_dir():
        _require_name(model, bits, weights)


def model_for(folder: str | Path, out: Path, model: str, bits: int | None, weights: Path | None) -> Asked:
    """Return the model that encodes ``folder`` into ``out``; what was fitted for it is not fitted anew.

    Raises:
        WeightsNotFound: of ``auto``, where no model can be had.
    """
    from deephash.ingest.origin import is_fitted_for
    from deephash.ingest.update import is_free

    if not is_free(out) and (model == AUTO or (":" in model and is_fitted_for(out, model, bits, weights))):
        return Asked()
    if model == AUTO:
        from deephash.cli.auto_model import choose_model

        _require_pictures(folder)
        chosen = choose_model(weights)
        note(f"model {chosen.name}: {chosen.why}. Others: deephash models list")
        model, weights = chosen.name, chosen.weights
    from deephash.pictures import PictureMemory

    memory = PictureMemory()
    return Asked(model, model_named(model, pictures=folder, num_bits=bits, weights=weights, memory=memory), memory)


def model_named(
    name: str,
    *,
    pictures: str | Path | None = None,
    num_bits: int | None = None,
    weights: Path | None = None,
    memory: PictureMemory | None = None,
) -> Source:
    """Return what ``--model`` names, for ``open_encoder``: the folder of a run, a model or a collection's own model,
    or a training-free model fitted to ``pictures``, which ``memory`` then has.
    """
    from deephash.encoding.opening import folder_of

    if Path(name).is_dir():
        return folder_of(name)
    if is_perceptual(name):
        return perceptual_encoder(name, num_bits)
    _require_name(name, num_bits, weights)
    if pictures is None:
        raise UsageError(
            f"{name} is fitted to a folder of pictures: deephash index PICTURES --out X.dh --model {name}, then "
            "--model X.dh"
        )
    _require_pictures(pictures)
    from deephash.fitting import MOST_BITS, fit_training_free

    model = fit_training_free(name, pictures=pictures, num_bits=num_bits, weights=weights, memory=memory)
    if num_bits is None and model.num_bits < MOST_BITS:
        longer = 2 * model.num_bits
        note(f"codes of {model.num_bits} bits: {longer} take more pictures, or a network with more features")
    return model


def _require_name(name: str, bits: int | None, weights: Path | None) -> None:
    if ":" not in name:
        raise DataError(
            f"{name}: no such run or model folder; deephash train makes one, or use e.g. --model itq:timm:resnet18 "
            "(deephash models list)"
        )
    require_spec(name, bits, weights)


def _require_pictures(folder: str | Path) -> None:
    from deephash.collection.sources.every import every_picture

    if len(found := list(islice(every_picture(folder), 2))) < 2:
        raise DataError(
            "a training-free model is fitted to the pictures and needs at least 2 readable ones; "
            f"{folder} holds {'one' if found else 'none'}, by the names of its files"
        )
