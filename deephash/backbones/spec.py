"""Backbone: the description of an encoder, as it stands in YAML and in model.json; Encoder: what it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from deephash.errors import UsageError, did_you_mean
from deephash.foreign.packages import BACKBONES, declared_as, plain
from deephash.foreign.trust import path_of, trust


@dataclass(frozen=True)
class Backbone:
    """Which network gives the features.

    Attributes:
        name: ``timm:NAME``, ``timm-stages:NAME`` (its last two maps), ``torchvision:NAME``, ``clip:ARCHITECTURE``
            (picture tower), ``clip-text:ARCHITECTURE``, ``small_cnn:CHANNELS``, ``cifar_resnet:DEPTH``,
            ``mobilenet_v1:WIDTH``, ``features:D`` (inputs are vectors), ``tfidf:D`` or ``bow:D``; ``mynet.Net``, a
            network of one's own (:mod:`deephash.backbones.own`), or the name that an installed package declares.
        weights: ``hub`` to fetch pretrained weights, a tag of the hub (open_clip), a local file (safetensors, or a
            state dict read with weights_only), or None for fresh weights.
        frozen: True keeps the weights fixed and in eval mode, so that features can be cached.
        image_size: side in pixels; None takes the network's own.
        options: passed to the network's constructor, for example ``{"pad_type": "same"}``.
        transform: resolved preprocessing; filled in when built and stored with the model.
    """

    name: str = "timm:resnet18"
    weights: str | None = "hub"
    frozen: bool = True
    image_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    transform: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.weights in ("", "null", "None", "none"):  # what `--...weights=null` may arrive as
            object.__setattr__(self, "weights", None)

    def build(self) -> Encoder:
        """Build the encoder and load its weights. Raises UsageError or WeightsNotFound."""
        family, colon, detail = self.name.partition(":")
        if not colon and ("." in family or declared_as(BACKBONES, {plain(family)})):
            own: Encoder = import_module("deephash.backbones.own").own_encoder(self)
            return own
        if family not in _FAMILIES:
            raise UsageError(
                f"unknown backbone family {family!r} in {self.name!r}"
                + did_you_mean(family, list(_FAMILIES))
                + "; a network of your own is named by its path, such as mynet.Net"
            )
        module, _, cls = _FAMILIES[family].partition(":")
        kind = getattr(import_module(module), cls)
        self._check_options(kind.known_options)
        encoder: Encoder = kind(self, detail)
        return encoder

    @classmethod
    def of(cls, network: type[nn.Module], **settings: Any) -> Self:
        """Describe a network of one's own, whose module is trusted from now on.

        Raises:
            UsageError: it lies inside a function, where it could not be found again.
        """
        path = path_of(network, "deephash.backbones")
        if "." not in path:
            raise UsageError(f"{network.__qualname__} could not be found again: define it at the top of a module")
        trust(network.__module__)
        return cls(path, **settings)

    def _check_options(self, known: tuple[str, ...] | None) -> None:
        unknown = [] if known is None else sorted(set(self.options) - set(known))
        if unknown:
            hint = did_you_mean(str(unknown[0]), list(known)) if known else " (it takes none)"
            raise UsageError(f"{self.name} has no option {unknown[0]!r}{hint}")


# Family -> module:class, imported when first built; each class takes (spec, what stands behind the colon).
_FAMILIES = {
    "timm": "deephash.backbones.pretrained:TimmEncoder",
    "timm-stages": "deephash.backbones.stages:TimmStages",
    "torchvision": "deephash.backbones.pretrained:TorchvisionEncoder",
    "small_cnn": "deephash.backbones.small:SmallCNN",
    "cifar_resnet": "deephash.backbones.small:CifarResNetEncoder",
    "mobilenet_v1": "deephash.backbones.small:MobileNetV1Encoder",
    "clip": "deephash.backbones.clip:ClipPictures",
    "clip-text": "deephash.backbones.clip:ClipTexts",
    "tfidf": "deephash.backbones.text:TfIdf",
    "bow": "deephash.backbones.text:BagOfWords",
    "features": "deephash.backbones.spec:Features",
}


class Encoder(nn.Module, ABC):
    """A network from a preprocessed batch to features [B, D].

    Attributes:
        channels_last: it may be laid out so, in which convolutions are fastest.
        known_options: names that ``spec.options`` may have; None where they go to another library's network.
        spec: the resolved description; built again with ``weights=None`` it gives the same network.
        num_features: D.
    """

    channels_last: ClassVar[bool] = True
    known_options: ClassVar[tuple[str, ...] | None] = ()
    spec: Backbone
    num_features: int

    @abstractmethod
    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D]."""

    @abstractmethod
    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the function from one picture, text or vector to one row of the batch."""

    def cut(self, picture: Any) -> Tensor:
        """Return the pixels of a picture that the network sees, [3, H, W] in 0..1. Raises UsageError without pixels."""
        raise self._has_no_pixels()

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return the network's input of pixels [B, 3, H, W] in 0..1. Raises UsageError where it reads no pixels."""
        raise self._has_no_pixels()

    def pixels(self, normalised: Tensor) -> Tensor:
        """Return the pixels in 0..1 of what :meth:`normalise` made. Raises UsageError where it reads no pixels."""
        raise self._has_no_pixels()

    def _has_no_pixels(self) -> UsageError:
        return UsageError(
            f"{self.spec.name} reads no pixels, so a picture can be neither cut for it nor changed; take a model on a "
            "network for pictures, such as timm:resnet18"
        )

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any] | None:
        """Return the description by which :mod:`deephash.encoding.readers` makes the same rows; None where it cannot.

        Args:
            folder: the model folder; what the reader needs besides is written there.
            assets: where :meth:`save_assets` wrote, relative to it.
        """
        return None

    def save_assets(self, directory: Path) -> None:
        """Write what is not a tensor, such as a vocabulary, into ``directory``."""

    def load_assets(self, directory: Path) -> None:
        """Read what :meth:`save_assets` wrote."""


class Features(Encoder):
    """Inputs are feature vectors already; they pass through."""

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        if not (detail.isascii() and detail.isdigit() and int(detail)):
            raise UsageError(f"backbone {spec.name!r} needs the number of features after the colon: features:512")
        self.spec, self.num_features = spec, int(detail)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the batch itself."""
        return batch

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any]:
        """A vector is its own row."""
        return {"kind": "vector", "width": self.num_features}

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return a function from a vector to a float32 tensor [D]."""
        import torch

        return lambda vector: torch.as_tensor(vector, dtype=torch.float32)
