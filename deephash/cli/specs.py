"""Names of training-free models, ``METHOD:NETWORK``, judged without torch; and which ones are worth knowing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deephash.cli.networks import require_network
from deephash.encoding.weight_files import find_weights
from deephash.errors import UsageError, did_you_mean
from deephash.foreign.packages import BACKBONES, declared_as, plain
from deephash.foreign.trust import trust
from deephash.training.signatures import exported

GRAMMAR = """\
name     METHOD:NETWORK, fitted to your pictures in the time it takes to look at 5,000 of them; no labels are needed
METHOD   clip (searched by words too), itq (the best codes of a picture network), hashing_baseline (a rotation that is
         drawn, not learned), pca_sign (without any), lsh (any number of bits, nothing is learned)
phash    or phash:256, dhash, ahash: perceptual hashes for copies, those of ImageHash; no weights, nothing is fitted
NETWORK  of clip: ARCHITECTURE/TAG of open_clip; of the others timm:NAME, timm:NAME.TAG or torchvision:NAME
options  of the network follow a question mark: itq:timm:mobilenetv2_100?pad_type=same
weights  come from the hub of timm, torchvision or open_clip, once; --weights FILE takes a local file
bits     256, fewer for few pictures; --bits N, at most the features of the network (lsh: any number)"""


@dataclass(frozen=True)
class Known:
    """A name that is worth knowing.

    Attributes:
        name: for ``index --model``.
        reads: pictures, or pictures and words.
        most_bits: the network's features.
        megabytes: of its weights, 10^6 bytes, counted over the tensors.
        licence: of the weights, as their publisher states it.
        repository: on the Hugging Face hub.
        file: in there.
        good_at: in a few words.
    """

    name: str
    reads: str
    most_bits: int
    megabytes: float
    licence: str
    repository: str
    file: str
    good_at: str

    @property
    def network(self) -> str:
        """What files of its weights are called: ``resnet18``, ``ViT-B-32``."""
        return self.name.rpartition(":")[2].partition("/")[0]


KNOWN = (
    Known("clip:ViT-B-32/laion2b_s34b_b79k", "pictures, words", 512, 605.1, "MIT",
          "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors",
          "words and pictures: scenes, things that have a name"),
    Known("clip:ViT-B-16/laion2b_s34b_b88k", "pictures, words", 512, 598.5, "MIT",
          "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "open_clip_model.safetensors",
          "the same with a finer eye; four times the patches, so slower"),
    Known("itq:timm:resnet18", "pictures", 512, 46.8, "Apache-2.0",
          "timm/resnet18.a1_in1k", "model.safetensors", "look-alikes; small and quick"),
    Known("itq:timm:mobilenetv2_100", "pictures", 1280, 14.2, "Apache-2.0",
          "timm/mobilenetv2_100.ra_in1k", "model.safetensors", "look-alikes; the smallest download"),
    Known("itq:timm:resnet50", "pictures", 2048, 102.4, "Apache-2.0",
          "timm/resnet50.a1_in1k", "model.safetensors", "look-alikes; long codes"),
)  # fmt: skip


def require_spec(name: str, num_bits: int | None, weights: Path | None) -> None:
    """Refuse a name of a training-free model that cannot be one, its length, or weights that are not there.

    Raises:
        UsageError: no such method, family of networks or network, or less than one bit.
        WeightsNotFound: ``weights`` name no file.
    """
    method, _, network = name.partition(":")
    methods, families = training_free_words(), network_families()
    if method not in methods or not network:
        raise UsageError(
            f"{name!r} is not METHOD:NETWORK{did_you_mean(method, methods)}, for example itq:timm:resnet18. "
            "What there is: deephash models list"
        )
    family = network.partition("?")[0].partition(":")[0]
    if method != "clip" and family == network.partition("?")[0] and "." in family:
        trust(family.rpartition(".")[0])  # a network of one's own: whoever types it means it
    elif method != "clip" and family not in families and not declared_as(BACKBONES, {plain(family)}):
        raise UsageError(f"unknown backbone family {family!r} in {network!r}{did_you_mean(family, families)}")
    require_network(f"clip:{network}" if method == "clip" else network)
    require_bits(num_bits)
    if weights is not None:
        find_weights(str(weights))


def require_bits(num_bits: int | None) -> None:
    """Raise UsageError for less than one bit."""
    if num_bits is not None and num_bits < 1:
        raise UsageError(f"--bits, the code length, is at least 1, not {num_bits}")


@cache
def training_free_words() -> list[str]:
    """Return the words before the colon: what each method's class says in ``training_free``, read from its source."""
    root, found = Path(__file__).resolve().parents[1], set()
    for module in set(exported("models").values()):
        file = root.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if "training_free" not in (text := file.read_text(encoding="utf8")):
            continue
        found |= {
            node.value.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "training_free"
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        }
    return sorted(found)


@cache
def network_families() -> list[str]:
    """Return the words before the colon of a network, read from the source of :mod:`deephash.backbones`."""
    file = Path(__file__).resolve().parents[1] / "backbones" / "spec.py"
    for node in ast.parse(file.read_text(encoding="utf8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_FAMILIES":
            return list(ast.literal_eval(node.value))
    return []
