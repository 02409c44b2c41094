"""The toy rows of the method notes, and toy data, shared by the tests of the image methods."""

import torch
from torch import Tensor

from deephash.backbones import Backbone

CODES = torch.tensor([[0.5, -1.0, 2.0, -0.25], [1.0, 1.0, -1.0, 0.5], [-0.5, 0.2, 0.3, -2.0]])
LABELS = torch.tensor([0, 0, 1])
TARGETS = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
FEATURES = Backbone("features:24", weights=None)


def batch(rows: int = 16, num_classes: int = 4, *, seed: int = 0, width: int = 24) -> dict[str, Tensor]:
    """Cached features of separable classes, their labels and row numbers."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % num_classes
    means = torch.randn(num_classes, width, generator=torch.Generator().manual_seed(99)) * 2
    features = means[labels] + torch.randn(rows, width, generator=generator)
    return {"image_features": features, "labels": labels, "index": torch.arange(rows)}
