"""From a picture to a network's input, in two steps: pixels in 0..1, then normalised ones. Without torch.

The settings are plain JSON, so that they travel with the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.errors import UsageError, did_you_mean
from deephash.pictures.middle import resized_middle

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NOW, _BEFORE = "torchvision", "nearest"
_KNOWN_BEFORE = ("size", "resize", "interpolation", "mean", "std")
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class PictureTransform:
    """Resize the shorter side to ``resize``, cut the middle ``size`` x ``size``, scale to 0..1, normalise.

    The middle is always cut, so that pictures of any shape give rows of one shape.

    Attributes:
        size: side of the network's input in pixels.
        resize: the shorter side before cutting; at least ``size``.
        interpolation: nearest, bilinear, bicubic or lanczos; always with Pillow's antialiasing.
        mean: subtracted from each channel, in units of 0..1.
        std: each channel is divided by it.
        rounding: how halves of pixels are settled: ``torchvision``, or ``nearest`` as deephash 0.1 did, which models of
            that time keep; see :func:`~deephash.pictures.middle.resized_middle`.
    """

    size: int = 224
    resize: int = 224
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    rounding: str = "torchvision"

    def __post_init__(self) -> None:
        if self.size < 1 or self.resize < self.size:
            raise UsageError(f"transform: resize must be at least size, and both at least 1, not {self}")
        if self.rounding not in (_NOW, _BEFORE):
            raise UsageError(f"transform: rounding is {_NOW} or {_BEFORE}, not {self.rounding!r}")
        if self.interpolation not in _RESAMPLING:
            raise UsageError(
                f"transform: unknown interpolation {self.interpolation!r}"
                + did_you_mean(self.interpolation, list(_RESAMPLING))
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise UsageError(f"transform: mean and std have 3 values each, std above 0, not {self.mean} and {self.std}")

    def __call__(self, picture: Any) -> NDArray[np.float32]:
        """Return float32 [3, size, size] of a PIL picture, normalised."""
        return self.normalise(self.cut(picture))

    def cut(self, picture: Any) -> NDArray[np.float32]:
        """Return the pixels that the network sees, float32 [3, size, size] in 0..1."""
        image: Image.Image = picture if picture.mode == "RGB" else picture.convert("RGB")
        resample, same = _RESAMPLING[self.interpolation], self.rounding == _NOW
        middle = resized_middle(image, self.size, self.resize, resample, as_torchvision=same)
        pixels = np.asarray(middle, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
        return np.ascontiguousarray(pixels)

    def normalise(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return pixels [..., 3, H, W] in 0..1 with the mean taken off, divided by the deviation."""
        return normalised(pixels, self.mean, self.std)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values; models of deephash 0.1 know no rounding, and keep their names."""
        settings = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return settings if self.rounding == _NOW else {key: settings[key] for key in _KNOWN_BEFORE}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PictureTransform:
        """Return what :meth:`to_json` wrote."""
        lists = {name: tuple(settings[name]) for name in ("mean", "std")}
        return cls(**{"rounding": _BEFORE} | dict(settings) | lists)


def normalised(pixels: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Return pixels [..., 3, H, W] minus ``mean``, divided by ``std``, channel by channel."""
    centre, scale = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in (mean, std))
    return np.asarray((pixels - centre) / scale)


def resolve_transform(
    usual: PictureTransform, image_size: int | None, given: Mapping[str, Any] | None
) -> PictureTransform:
    """Return the network's ``usual`` transform, moved to ``image_size``, with the ``given`` settings laid over it."""
    if given is not None and set(given) == set(_KNOWN_BEFORE):
        return PictureTransform.of(given)  # the whole transform of a model that deephash 0.1 saved
    settings = usual.to_json()
    if image_size is not None:
        settings |= {"size": image_size, "resize": image_size * usual.resize // usual.size}
    for name, value in (given or {}).items():
        if name not in settings:
            raise UsageError(f"transform has no setting {name!r}" + did_you_mean(name, list(settings)))
        settings[name] = value
    if given and "size" in given and "resize" not in given:
        settings["resize"] = max(settings["size"], settings["resize"])
    return PictureTransform.of(settings)
