"""The two-view toy that the cross-modal tests and benchmarks share: 10 classes, common and private factors, noise."""

import numpy as np
import torch

from deephash.data import synthetic


def two_views(seed, count=2400, num_classes=10):
    """Return what :func:`deephash.data.synthetic.two_views` draws, as tensors and class numbers."""
    image, text, labels = synthetic.two_views(seed, count, num_classes)
    return torch.from_numpy(image), torch.from_numpy(text), labels


def half_paired(image, text, share, seed=0):
    """Return a table where a ``share`` of the items kept their partner; the others keep both halves as strangers."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(image)))
    pairs = round(share * len(image))
    together, apart = order[:pairs], order[pairs:]
    count = len(apart)
    return {
        "image_features": torch.cat([image[together], image[apart], torch.zeros(count, image.shape[1]).to(image)]),
        "text_features": torch.cat([text[together], torch.zeros(count, text.shape[1]).to(text), text[apart]]),
        "has_image": torch.arange(pairs + 2 * count) < pairs + count,
        "has_text": (torch.arange(pairs + 2 * count) < pairs) | (torch.arange(pairs + 2 * count) >= pairs + count),
    }


def mean_average_precision(model, image, text, labels, num_train):
    """Return the mean of image-to-text and text-to-image mAP@all of rows beyond ``num_train`` over the rows before."""
    from deephash.evaluation.metrics import mean_average_precision as score

    codes = {
        "image": model.encode({"image_features": image.float()}),
        "text": model.encode({"text_features": text.float()}),
    }
    values = []
    for asked, found in (("image", "text"), ("text", "image")):
        values.append(
            score(
                codes[asked][num_train:],
                codes[found][:num_train],
                query_labels=labels[num_train:],
                database_labels=labels[:num_train],
            )
        )
    return float(np.mean(values))
