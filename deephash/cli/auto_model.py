"""``--model auto``: the best training-free model that can be had here, and why it was chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deephash.cli.specs import KNOWN, Known
from deephash.encoding.weight_files import weights_called
from deephash.errors import UsageError, WeightsNotFound
from deephash.foreign.extras import install

PATIENCE = 3.0  # seconds for the hub to answer
_PACKAGES = {"clip": "open_clip", "itq": "timm"}


@dataclass(frozen=True)
class Choice:
    """A model that can be had.

    Attributes:
        name: for ``index --model``.
        weights: a file on this machine; None where the hub's cache or the hub has it.
        why: a sentence for people.
    """

    name: str
    weights: Path | None
    why: str


def choose_model(weights: Path | None = None) -> Choice:
    """Return what ``--model auto`` stands for: one that reads words before one that does not, what lies here first.

    Args:
        weights: a file that was given; the model whose name its own begins with.

    Raises:
        UsageError: torch is not installed, or nobody knows which network ``weights`` belong to.
        WeightsNotFound: nothing lies here and the hub cannot be reached; the sentence names the files to bring.
    """
    if find_spec("torch") is None:
        raise UsageError(
            "a model that is fitted to your pictures needs torch, which is not installed here; give a trained one that "
            "carries a portable encoder, --model RUN, or install torch"
        )
    able = [each for each in KNOWN if find_spec(_PACKAGES[each.name.partition(":")[0]]) is not None]
    if weights is not None:
        return _for_file(weights, able)
    words, others = ([each for each in able if ("words" in each.reads) == reads] for reads in (True, False))
    reachable: bool | None = None
    for group in (words, others):
        for each in group:
            if (found := _here(each)) is not None:
                return found
        if group and reachable is None:
            reachable = hub_answers()
        if group and reachable:
            first = group[0]
            return Choice(first.name, None, f"{_reads(first)}; {first.megabytes:.0f} MB of weights are fetched once")
    raise WeightsNotFound(_what_to_bring(able))


def hub_answers() -> bool:
    """Say whether the Hugging Face hub can be asked from here, by a proxy where one is set."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PATIENCE):
            return True
    except HTTPError as error:  # it answered; a proxy that refuses says 403 or 407
        return error.code < 500 and error.code not in (403, 407)
    except (OSError, ValueError):
        return False


def _here(known: Known) -> Choice | None:
    from huggingface_hub import try_to_load_from_cache

    names = (known.file, known.file.replace("model.safetensors", "pytorch_model.bin"))
    if any(isinstance(try_to_load_from_cache(known.repository, name), str) for name in names):
        return Choice(known.name, None, f"{_reads(known)}; its weights were fetched before")
    file = weights_called(known.network)
    return None if file is None else Choice(known.name, file, f"{_reads(known)}; its weights are {file}")


def _for_file(weights: Path, able: list[Known]) -> Choice:
    for each in able:
        if weights.name.startswith((each.network, each.network.lower())):
            return Choice(each.name, weights, f"{weights.name} is named like its weights")
    raise UsageError(
        f"which network are {weights.name} the weights of? Name it: --model itq:timm:NAME --weights {weights}, or "
        "--model clip:ARCHITECTURE --weights ...; names: deephash models list"
    )


def _reads(known: Known) -> str:
    return "searched by words and by pictures" if "words" in known.reads else "searched by pictures"


def _what_to_bring(able: list[Known]) -> str:
    if not able:
        return f"neither open_clip nor timm is installed: {install('clip')}"
    wanted = [able[0], *[each for each in able if each.reads != able[0].reads][:1]]
    files = "; or ".join(
        f"{each.file} of {each.repository} ({each.megabytes:.0f} MB): --model {each.name} --weights FILE"
        for each in wanted
    )
    proxy = "" if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") else " (no HTTPS_PROXY is set)"
    return (
        f"no model can be had here: no weights are cached, and the Hugging Face hub does not answer{proxy}. Bring one "
        f"of these files from a machine with a network: {files}. In the folder $DEEPHASH_WEIGHTS a file called like "
        f"its network, such as {wanted[-1].network}.safetensors, is found without being named. Trained models need "
        "none: --model RUN"
    )
