"""The two-view toy that the cross-modal tests and benchmarks share: 10 classes, common and private factors, noise."""

import numpy as np
import torch

WIDTHS = {"image": 256, "text": 160}


def two_views(seed, count=2400, num_classes=10):
    """Return (image [n, 256], text [n, 160], labels [n]).

    y is uniform, s = mu_y + N(0, I_16) with mu ~ 1.6 N(0, I_16); per view x = tanh((P s + N p) / 2) + N(0, I) with P ~
    N(0, 1/16), N ~ N(0, 1/32) and private p ~ N(0, I_32).
    """
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, num_classes, count)
    shared = (1.6 * draw.standard_normal((num_classes, 16)))[labels] + draw.standard_normal((count, 16))
    views = []
    for width in WIDTHS.values():
        common, private = draw.standard_normal((width, 16)) / 4, draw.standard_normal((width, 32)) / 32**0.5
        own = draw.standard_normal((count, 32))
        noise = draw.standard_normal((count, width))
        views.append(np.tanh((shared @ common.T + own @ private.T) / 2) + noise)
    return torch.from_numpy(views[0]), torch.from_numpy(views[1]), labels


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
