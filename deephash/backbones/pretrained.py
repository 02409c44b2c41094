"""Any network of timm or torchvision as an encoder: its classifier is taken off, its preprocessing kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from deephash.backbones.pictures import PictureEncoder
from deephash.backbones.spec import Backbone
from deephash.backbones.weights import load_into
from deephash.encoding.transform import PictureTransform, resolve_transform
from deephash.encoding.weight_files import find_weights, names_a_file
from deephash.errors import UsageError, WeightsNotFound, did_you_mean


class NetworkEncoder(PictureEncoder):
    """A picture encoder whose preprocessing is a :class:`PictureTransform`."""

    transform: PictureTransform

    def settle(self, spec: Backbone, usual: PictureTransform) -> None:
        """Resolve preprocessing from the network's ``usual`` one and what ``spec`` asks for."""
        self.transform = resolve_transform(usual, spec.image_size, spec.transform)
        self.mean, self.std = self.transform.mean, self.transform.std
        self.spec = replace(spec, image_size=self.transform.size, transform=self.transform.to_json())
        self.network.to(memory_format=torch.channels_last)  # same values, up to a third less time on a CPU

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D]."""
        features: Tensor = self.network(batch.contiguous(memory_format=torch.channels_last))
        return features

    def cut(self, picture: Any) -> Tensor:
        """Return the pixels that the network sees, float32 [3, H, W] in 0..1."""
        return torch.from_numpy(self.transform.cut(picture))

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the function from a PIL picture to float32 [3, H, W], computed by NumPy."""
        return lambda picture: torch.from_numpy(self.transform(picture))


class TimmEncoder(NetworkEncoder):
    """``timm:NAME``; ``weights`` may be ``hub``, a tag of timm's hub such as ``ra_in1k``, a file, or None."""

    known_options: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, spec: Backbone, name: str) -> None:
        super().__init__()
        import timm

        base, _, tag = name.partition(".")
        if base not in timm.list_models():
            raise UsageError(f"timm has no network {base!r}" + did_you_mean(base, _similar(base, timm.list_models())))
        options = dict(spec.options)
        config = timm.get_pretrained_cfg(base, allow_unregistered=True)
        if spec.image_size is not None and config is not None and config.fixed_input_size:
            options["img_size"] = spec.image_size
        self.network = self._create(spec, base, tag, options)
        sizes = (getattr(self.network, name, None) for name in ("head_hidden_size", "num_features"))
        self.num_features = next(size for size in sizes if isinstance(size, int))
        self.settle(spec, _timm_transform(self.network))

    def _create(self, spec: Backbone, base: str, tag: str, options: dict[str, Any]) -> nn.Module:
        import timm

        weights = spec.weights
        from_file = weights is not None and names_a_file(weights)
        if weights is not None and weights != "hub" and not from_file:
            tag = weights
        full = f"{base}.{tag}" if tag else base
        fetch = weights is not None and not from_file
        try:
            if fetch:
                options |= {"pretrained_cfg_overlay": _fetched_before(full)}
            network: nn.Module = timm.create_model(full, pretrained=fetch, num_classes=0, **options)
        except (TypeError, AssertionError) as error:
            raise UsageError(f"timm:{full} cannot be built with {options}: {error}") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise not_on_hub(f"timm:{full}", hub_folders(), error) from None
        if from_file and weights is not None:
            load_into(network, find_weights(weights), spec.name)
        return network


def _fetched_before(full: str) -> dict[str, str]:
    """Return where the weights of ``full`` lie if they were fetched before, so that no network is asked.

    Raises OSError at once where they were not and the hub has no address: its client would go on trying for a minute.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(full)
    repository = getattr(config, "hf_hub_id", None)
    if not repository:
        return {}
    for file in ("model.safetensors", "pytorch_model.bin"):
        path = try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return {"file": path}
    host = urlsplit(constants.ENDPOINT).hostname
    socket.getaddrinfo(host, 443)
    return {}


def _similar(name: str, valid: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, valid, n=5, cutoff=0.3)


def _timm_transform(network: nn.Module) -> PictureTransform:
    from timm.data.config import resolve_data_config

    config = resolve_data_config({}, model=network)
    size = int(config["input_size"][-1])
    return PictureTransform(
        size=size,
        resize=int(size / config["crop_pct"]),
        interpolation=config["interpolation"] if config["interpolation"] != "random" else "bilinear",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


class TorchvisionEncoder(NetworkEncoder):
    """``torchvision:NAME``; ``weights`` may be ``hub``, an entry such as ``IMAGENET1K_V1``, a file, or None."""

    known_options: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, spec: Backbone, name: str) -> None:
        super().__init__()
        from torchvision import models

        if name not in models.list_models(module=models):
            raise UsageError(f"torchvision has no network {name!r}" + did_you_mean(name, models.list_models(models)))
        if name in ("inception_v3", "googlenet"):
            raise UsageError(f"torchvision:{name} has auxiliary outputs; choose another network, such as timm:resnet18")
        published = models.get_model_weights(name)
        entry = self._entry(spec, name, published)
        try:
            network = models.get_model(name, weights=entry, **dict(spec.options))
        except (TypeError, ValueError) as error:
            raise UsageError(f"torchvision:{name} cannot be built with {dict(spec.options)}: {error}") from None
        except (OSError, RuntimeError) as error:
            raise not_on_hub(f"torchvision:{name}", [Path(torch.hub.get_dir()) / "checkpoints"], error) from None
        self.num_features = take_off_classifier(network, name)
        self.network = network
        if spec.weights is not None and names_a_file(spec.weights):
            load_into(network, find_weights(spec.weights), spec.name)
        self.settle(spec, _torchvision_transform(entry or published.DEFAULT))

    @staticmethod
    def _entry(spec: Backbone, name: str, published: Any) -> Any:
        if spec.weights is None or names_a_file(spec.weights):
            return None
        if spec.weights == "hub":
            return published.DEFAULT
        if spec.weights not in published.__members__:
            valid = list(published.__members__)
            raise UsageError(f"torchvision:{name} has no weights {spec.weights!r}" + did_you_mean(spec.weights, valid))
        return published[spec.weights]


def _torchvision_transform(entry: Any) -> PictureTransform:
    preset = entry.transforms()
    return PictureTransform(
        size=int(preset.crop_size[0]),
        resize=max(int(preset.resize_size[0]), int(preset.crop_size[0])),
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def take_off_classifier(network: nn.Module, name: str) -> int:
    """Replace the last linear layer by the identity (SqueezeNet's convolution by pooling); return the feature width D.

    AlexNet and VGG so end after their second fully connected layer of 4096, as hashing papers cut them.
    """
    if name.startswith("squeezenet"):
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return 512
    linear = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    path, last = linear[-1]
    owner, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(owner), attribute, nn.Identity())
    return int(last.in_features)


def hub_folders() -> list[Path]:
    """Return where timm keeps downloaded weights."""
    home = os.environ.get("HF_HUB_CACHE") or os.path.join(os.environ.get("HF_HOME", "~/.cache/huggingface"), "hub")
    return [Path(home).expanduser(), Path(torch.hub.get_dir()) / "checkpoints"]


def not_on_hub(name: str, folders: list[Path], error: Exception) -> WeightsNotFound:
    """Return the error for weights that are in no cache and could not be fetched."""
    reason = str(error).strip().split("\n")[0][:200]
    return WeightsNotFound(
        f"weights of {name} are not on this machine (looked in {', '.join(map(str, folders))}) and could not be "
        f"fetched: {reason}. With network: run the same command again. Without: give a local file, --weights FILE "
        "(also looked for in $DEEPHASH_WEIGHTS), or train from fresh weights: weights: null, frozen: false"
    )
