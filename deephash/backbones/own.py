"""A network of one's own as an encoder: ``mynet.Net``, any ``nn.Module``, or a name that an installed package declares.

What the network says about itself, all of it optional, as attributes of the module:

- ``feature_dim``: D of its features; else one forward pass tells.
- ``transform``: settings of a :class:`~deephash.encoding.PictureTransform` (a dictionary, or one), by which the
  portable encoder and attacks know what to do; or a function from a PIL picture to its input, which keeps the model
  with torch. Without: 224 pixels, ImageNet's mean and deviation.
- ``tokenizer``: a function from a text to a tensor of one shape. A network that has one is a text tower.
- ``neutral_phrase``: a phrase that says nothing, for composed queries of a text tower.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deephash.backbones.pretrained import NetworkEncoder
from deephash.backbones.spec import Backbone, Encoder
from deephash.backbones.text import TextEncoder
from deephash.backbones.weights import load_into
from deephash.encoding.phrases import checked_phrase
from deephash.encoding.transform import PictureTransform, resolve_transform
from deephash.encoding.weight_files import find_weights
from deephash.errors import UsageError
from deephash.foreign.packages import BACKBONES, declared_as, declared_class, plain
from deephash.foreign.trust import is_trusted, named_object


def own_encoder(spec: Backbone) -> Encoder:
    """Build the encoder of a network that is not deephash's.

    Raises:
        UsageError: nobody trusts its module, which is not imported then; or it is no network, or none that fits.
    """
    spec, cls = _found(spec)
    if issubclass(cls, Encoder):
        encoder: Encoder = cls(spec, "")
        return encoder
    network = _made(cls, spec)
    if spec.weights not in (None, "hub"):
        load_into(network, find_weights(str(spec.weights)), spec.name)
    if hasattr(network, "tokenizer"):
        return OwnTexts(spec, network)
    transform = getattr(network, "transform", None)
    if transform is None or isinstance(transform, (PictureTransform, Mapping)):
        return OwnPictures(spec, network)
    return OwnReader(spec, network)


def _found(spec: Backbone) -> tuple[Backbone, type[nn.Module]]:
    """Return the class that the name stands for, and the description with the path that stands for it anywhere."""
    if spec.name.startswith("deephash."):  # nothing of it is imported because a file names it
        raise UsageError(
            f"the backbone {spec.name} is no class below torch.nn.Module of yours; those of deephash go by their "
            "families, such as small_cnn:8"
        )
    if "." in spec.name:
        module = spec.name.rpartition(".")[0]
        known = None if is_trusted(module) else declared_class(BACKBONES, spec.name)
        return spec, _network(named_object(spec.name, f"the backbone {spec.name}") if known is None else known, spec)
    entries = declared_as(BACKBONES, {plain(spec.name)})
    if len(entries) != 1:
        paths = ", ".join(f"{each.path} ({each.package})" for each in entries)
        raise UsageError(f"{len(entries)} backbones are called {spec.name!r}: {paths}; name the one meant by its path")
    return replace(spec, name=entries[0].path), _network(entries[0].load(), spec)


def _network(found: Any, spec: Backbone) -> type[nn.Module]:
    """Return a class of networks. Nothing else is ever called: a file may name any function, with any arguments."""
    if not inspect.isclass(found) or not issubclass(found, nn.Module):
        raise UsageError(
            f"the backbone {spec.name} is {type(found).__name__} {getattr(found, '__name__', '')}, and no class below "
            "torch.nn.Module; deephash new backbone NAME writes one"
        )
    return found


def _made(cls: type[nn.Module], spec: Backbone) -> nn.Module:
    try:
        return cls(**spec.options)
    except Exception as error:  # somebody's own code may raise anything
        raise UsageError(
            f"the backbone {spec.name} cannot be built with {dict(spec.options)}: {type(error).__name__}: {error}"
        ) from error


# Encoders ------------------------------------------------------------------------------------------


class OwnPictures(NetworkEncoder):
    """A network whose preprocessing is described as data: portable, and open to attacks."""

    known_options: ClassVar[tuple[str, ...] | None] = None
    channels_last: ClassVar[bool] = False  # in which a .view() of one's own may fail

    def __init__(self, spec: Backbone, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.transform = resolve_transform(_usual(network), spec.image_size, spec.transform)
        self.mean, self.std = self.transform.mean, self.transform.std
        self.spec = replace(spec, image_size=self.transform.size, transform=self.transform.to_json())
        self.num_features = width_of(network, torch.zeros(1, 3, self.transform.size, self.transform.size), spec.name)

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D]."""
        return pooled(self.network(batch.contiguous()), self.spec.name)


class OwnReader(Encoder):
    """A network with a function for its preprocessing, which nobody can look into: torch alone runs it."""

    known_options: ClassVar[tuple[str, ...] | None] = None
    channels_last: ClassVar[bool] = False

    def __init__(self, spec: Backbone, network: nn.Module) -> None:
        super().__init__()
        if spec.transform is not None or spec.image_size is not None:
            raise UsageError(
                f"{spec.name} reads pictures by a function of its own, so image_size has no effect; omit it"
            )
        self.network, self.spec = network, spec
        self._read: Callable[[Any], Any] = network.transform  # type: ignore[assignment]
        self.num_features = width_of(network, _example(self._read, spec.name)[None], spec.name)

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D]."""
        return pooled(self.network(batch.contiguous()), self.spec.name)

    def _has_no_pixels(self) -> UsageError:
        return UsageError(
            f"{self.spec.name} reads pictures by a function of its own, so no pixels can be changed between it and the "
            "network; describe its transform by settings: size, mean, std (docs/extending.md)"
        )

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the function from a PIL picture to a float32 tensor."""
        return lambda picture: _row(self._read(picture), self.spec.name).float()


class OwnTexts(TextEncoder):
    """A network of words, with its tokenizer; code of one's own, so torch alone runs it."""

    known_options: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, spec: Backbone, network: nn.Module) -> None:
        super().__init__()
        self.network, self.spec = network, spec
        self.neutral_phrase = str(getattr(network, "neutral_phrase", ""))
        self.num_features = width_of(network, self.neutral()[None], spec.name)

    def forward(self, batch: Tensor) -> Tensor:
        """Return features [B, D]."""
        return pooled(self.network(batch), self.spec.name)

    def neutral(self) -> Tensor:
        """Return the row of the neutral phrase."""
        return self._tokens(self.neutral_phrase)

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the tokeniser of a phrase, which must say something."""
        return lambda phrase: self._tokens(checked_phrase(phrase))

    def preprocess_data(self) -> Callable[[str], Tensor]:
        """Return the tokeniser of one text, which may be empty."""
        return self._tokens

    def _tokens(self, text: str) -> Tensor:
        return _row(self.network.tokenizer(text), self.spec.name)  # type: ignore[operator]


# What a network says -------------------------------------------------------------------------------


def width_of(network: nn.Module, rows: Tensor, name: str) -> int:
    """Return D: what the network declares, else of one forward pass of ``rows``. Raises UsageError where it fails."""
    declared = getattr(network, "feature_dim", None)
    if isinstance(declared, int) and not isinstance(declared, bool):
        return declared
    before = network.training
    network.eval()
    try:
        return int(pooled(_features(network, rows), name).shape[1])
    except UsageError:
        raise
    except Exception as error:  # somebody's own code may raise anything
        raise UsageError(
            f"the backbone {name} cannot read a batch of the shape {list(rows.shape)}: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    finally:
        network.train(before)


def _features(network: nn.Module, rows: Tensor) -> Any:
    """Compute shapes alone where that can be: nothing is multiplied, and nothing takes memory."""
    state = {name: tensor.to("meta") for name, tensor in network.state_dict(keep_vars=True).items()}
    with torch.no_grad():
        try:
            return torch.func.functional_call(network, state, (rows.to("meta"),))
        except Exception:  # a step that needs values, or a tensor that is no buffer
            return network(rows)


def pooled(features: Any, name: str) -> Tensor:
    """Return features [B, D]; of maps [B, D, H, W] their means. Raises UsageError for anything else."""
    if isinstance(features, Tensor) and features.ndim == 4:
        return features.mean(dim=(2, 3))
    if not isinstance(features, Tensor) or features.ndim != 2:
        found = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UsageError(f"the backbone {name} gives {found}; it must give features [B, D], or maps [B, D, H, W]")
    return features


def _usual(network: nn.Module) -> PictureTransform:
    given = getattr(network, "transform", None)
    if isinstance(given, PictureTransform):
        return given
    whole = {"resize": given["size"]} if given and "size" in given else {}  # nothing is cut off unless it says so
    return resolve_transform(PictureTransform(), None, {**whole, **(given or {})})


def _example(read: Callable[[Any], Any], name: str) -> Tensor:
    from PIL import Image

    return _row(read(Image.new("RGB", (64, 48))), name).float()


def _row(made: Any, name: str) -> Tensor:
    if not isinstance(made, Tensor):
        try:
            return torch.as_tensor(made)
        except (TypeError, ValueError, RuntimeError):
            raise UsageError(
                f"{name}: its transform or tokenizer gives a {type(made).__name__}, not a tensor"
            ) from None
    return made
