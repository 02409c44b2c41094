"""Two random views of each picture, for methods that learn from their agreement (CIBHash, SDC).

In order of preference: the second view that the batch holds (``image_view`` or ``image_view_features``), augmentation
of raw pictures on their device, or noise on cached features. The last is ours, not a paper's: cached features cannot be
cropped, so each view drops some of them and enlarges the rest, so that the mean of each stays.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from deephash.errors import UsageError
from deephash.models.base import HashModel
from deephash.models.head import Batch

COLOUR_PROBABILITY, GREY_PROBABILITY = 0.7, 0.2


def two_views(
    model: HashModel, batch: Batch, *, feature_dropout: float, blur: float = 0.5, augment_first: bool = True
) -> Tensor:
    """Return features [2B, D]: view one of all rows, then view two.

    Args:
        model: gives the picture encoder.
        batch: see above.
        feature_dropout: share of cached features that a view loses.
        blur: probability that a view of a raw picture is blurred.
        augment_first: whether the first view is random too, or the picture as it is.
    """
    if "image_view" in batch or "image_view_features" in batch:
        second = {key.replace("image_view", "image"): value for key, value in batch.items() if "image_view" in key}
        first = {key: value for key, value in batch.items() if key in ("image", "image_features")}
        return torch.cat([model.features(first), model.features(second)])
    if "image_features" in batch:
        features = batch["image_features"]
        first_view = dropout(features, feature_dropout) if augment_first else features
        return torch.cat([first_view, dropout(features, feature_dropout)])
    if "image" not in batch:
        raise UsageError(f"two views need 'image' or 'image_features' in the batch, not {sorted(batch)}")
    augment = PictureViews(model, blur)
    pictures = batch["image"]
    return model.features({"image": torch.cat([augment(pictures) if augment_first else pictures, augment(pictures)])})


class PictureViews(nn.Module):
    """CIBHash's augmentation on a batch of normalised pictures [B, 3, H, W].

    Random crop of half to all of the area, flip, colour jitter (.4, .4, .4, .1) with probability .7, grey .2 and
    Gaussian blur of width 3 with probability ``blur``: .5 in CIBHash, 1 in the release of SDC.
    """

    def __init__(self, model: HashModel, blur: float) -> None:
        super().__init__()
        self.blur = blur
        encoder = model.encoders["image"]
        self._normalise, self._pixels = encoder.normalise, encoder.pixels  # not the module, which has its owner

    def forward(self, pictures: Tensor) -> Tensor:
        """Return an augmented copy; each picture draws its own parameters."""
        from torchvision.transforms import v2

        augment = v2.Compose(
            [
                v2.RandomResizedCrop(pictures.shape[-2:], scale=(0.5, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], COLOUR_PROBABILITY),
                v2.RandomGrayscale(GREY_PROBABILITY),
                v2.RandomApply([v2.GaussianBlur(3)], self.blur),
            ]
        )
        shown = self._pixels(pictures).clamp(0, 1)
        return self._normalise(torch.stack([augment(picture) for picture in shown]))
