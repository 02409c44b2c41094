"""What an attack sees of a model: pixels in [0, 1] to continuous codes, with the model's own normalisation inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from deephash.backbones.pictures import PictureEncoder
from deephash.backbones.pretrained import NetworkEncoder
from deephash.backbones.spec import Features
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.objectives.signs import sign

Continuous: TypeAlias = Callable[[Tensor], Tensor]


class Victim:
    """A model under attack.

    Args:
        continuous: pixels [B, C, H, W] in [0, 1] -> continuous codes v [B, K], differentiable where it can be.
        bits: pixels -> booleans [B, K] as deployed; None says that a bit is ``v >= 0``.
        module: what must be in evaluation mode meanwhile; its modes are put back.
        name: for messages.
    """

    def __init__(
        self,
        continuous: Continuous,
        *,
        bits: Continuous | None = None,
        module: nn.Module | None = None,
        name: str = "this model",
    ) -> None:
        self._continuous, self._bits, self.module, self.name = continuous, bits, module, name

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found = next(iter(self.module.parameters()), None) if self.module is not None else None
        return torch.device("cpu") if found is None else found.device

    def _as_taken(self, pixels: Tensor) -> Tensor:
        """Return pixels in the precision of the module's weights; gradients pass."""
        weights = self.module.parameters() if self.module is not None else ()
        kind = next((each.dtype for each in weights if each.is_floating_point()), pixels.dtype)
        return pixels.to(kind)

    def continuous(self, pixels: Tensor) -> Tensor:
        """Return continuous codes v [B, K], float32."""
        codes = self._continuous(self._as_taken(pixels))
        if not isinstance(codes, Tensor):
            raise UsageError(
                f"{self.name} gives a {type(codes).__name__}; a tensor of continuous codes [B, K] is needed"
            )
        if codes.ndim != 2 or len(codes) != len(pixels):
            raise UsageError(
                f"{self.name} gives {list(codes.shape)} for {len(pixels)} pictures; one code each is needed"
            )
        return codes.float()

    @torch.no_grad()
    def signs(self, pixels: Tensor, continuous: Tensor | None = None) -> Tensor:
        """Return deployed codes as float signs [B, K]; ``continuous`` codes of the same pixels spare a pass."""
        if self._bits is not None:
            return 2 * self._bits(self._as_taken(pixels)).float() - 1
        return sign(self.continuous(pixels) if continuous is None else continuous.detach())

    def require_gradient(self, pixels: Tensor) -> None:
        """Raise UsageError where no gradient of the codes reaches ``pixels``."""
        with torch.enable_grad():
            leaf = pixels[:1].detach().to(self.device).requires_grad_()
            if not self.continuous(leaf).requires_grad:
                raise UsageError(
                    f"{self.name} gives no gradient by its pixels; attack it by its answers alone (--attack square), "
                    "or with pictures made for a model that has one (--source OTHER_RUN)"
                )

    def codes(self, pixels: Tensor, batch_size: int = 64) -> BinaryCodes:
        """Return packed codes of pictures."""
        with self.evaluating():
            parts = [self.signs(part.to(self.device)).cpu().numpy() >= 0 for part in pixels.split(batch_size)]
        return BinaryCodes.from_bits(np.concatenate(parts))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put every module in evaluation mode, and afterwards each back into its own.

        A frozen batch norm stays in evaluation mode while its parent trains; ``parent.train()`` would wake it.
        """
        modules = list(self.module.modules()) if self.module is not None else []
        modes = [each.training for each in modules]
        try:
            for each in modules:
                each.training = False
            yield
        finally:
            for each, mode in zip(modules, modes, strict=True):
                each.training = mode


def victim_of(model: HashModel | Victim | nn.Module | Continuous) -> Victim:
    """Return ``model`` as a victim.

    A :class:`HashModel` normalises inside; any other callable must take pixels in [0, 1] and give continuous codes.

    Raises:
        UsageError: a hash model that reads no pictures, or was not fitted.
    """
    if isinstance(model, Victim):
        return model
    if isinstance(model, HashModel):
        return _of_hash_model(model)
    if not callable(model):
        raise UsageError(f"a {type(model).__name__} cannot be attacked; give a HashModel or a function of pixels")
    return Victim(model, module=model if isinstance(model, nn.Module) else None, name=type(model).__name__)


@dataclass(frozen=True)
class Frame:
    """The square of pixels that an attack may change: the shorter side resized, the middle cut, not normalised.

    It is as large as the picture before its last crop, so that the saved 8-bit picture goes through the deployed path
    unchanged.

    Attributes:
        side: pixels of the square.
        size: pixels of the middle square of it that the network sees.
        cut: PIL picture -> float32 [3, side, side] in [0, 1].
    """

    side: int
    size: int
    cut: Callable[[Any], Tensor]

    def middle(self, pixels: Tensor) -> Tensor:
        """Return what the network sees of ``pixels`` [B, 3, side, side], or of [B, 3, size, size] all."""
        given = tuple(pixels.shape[-2:])
        if given == (self.size, self.size):
            return pixels
        if given != (self.side, self.side):
            wanted = f"{self.side} x {self.side} pixels" + f", of which it sees {self.size} x {self.size}" * (
                self.side != self.size
            )
            raise UsageError(f"the model takes {wanted}; these pictures have {given[0]} x {given[1]}")
        edge = (self.side - self.size) // 2
        return pixels[..., edge : edge + self.size, edge : edge + self.size]


def picture_encoder(model: HashModel) -> PictureEncoder:
    """Return the encoder of pictures. Raises UsageError where the model reads none, or vectors."""
    if "image" not in model.encoders:
        raise UsageError(
            f"this {type(model).__name__} reads {', '.join(model.encoders)}, no pictures: nothing to attack"
        )
    encoder = model.encoders["image"]
    if not isinstance(encoder, PictureEncoder):
        vectors = isinstance(encoder, Features)
        what = "feature vectors" if vectors else "pictures by a function of its own"
        right = "on a network of pictures" if vectors else "with a transform described by settings (docs/extending.md)"
        raise UsageError(
            f"this {type(model).__name__} reads {what} ({encoder.spec.name}), no pixels; to attack it, train it {right}"
        )
    return encoder


def frame_of(model: HashModel) -> Frame:
    """Return how a picture is brought to the pixels that an attack may change."""
    encoder = picture_encoder(model)
    settings = encoder.spec.transform or {}
    size = int(settings["size"])
    side = int(settings.get("resize", size))
    if side == size or not isinstance(encoder, NetworkEncoder):
        return Frame(size, size, encoder.cut)
    whole = replace(encoder.transform, size=side)
    return Frame(side, size, lambda picture: torch.from_numpy(whole.cut(picture)))


def _of_hash_model(model: HashModel) -> Victim:
    frame, encoder = frame_of(model), picture_encoder(model)
    fitted = getattr(model, "fitted", None)
    if fitted is not None and not fitted:
        raise UsageError(f"this {type(model).__name__} was not fitted; call fit(features) or `deephash train`")

    def inputs(pixels: Tensor) -> dict[str, Tensor]:
        return {"image": encoder.normalise(frame.middle(pixels))}

    def continuous(pixels: Tensor) -> Tensor:
        codes: Tensor = model(inputs(pixels))
        return codes.flatten(1)

    own = None if model.binarises_at_zero else lambda pixels: model.bits(inputs(pixels)).flatten(1)
    return Victim(continuous, bits=own, module=model, name=f"this {type(model).__name__}")
