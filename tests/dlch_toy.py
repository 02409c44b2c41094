"""Small DLCH models, and their rows, shared by the tests of its phases."""

import torch

from deephash.backbones import Backbone
from deephash.models import DLCH
from deephash.models.lifelong_phase import LifelongPhase, SeenCodes
from deephash.objectives.signs import sign
from tests.image_methods_toy import batch

PICTURES, TEXTS = Backbone("features:24", weights=None), Backbone("features:10", weights=None)


def pairs(rows=16, *, seed=0):
    texts = torch.randn(rows, 10, generator=torch.Generator().manual_seed(seed + 7))
    return batch(rows, seed=seed) | {"text_features": texts}


def both(**options):
    torch.manual_seed(0)
    return DLCH(8, 4, PICTURES, TEXTS, text_hidden=(16,), label_hidden=16, **options)


def alone(**options):
    torch.manual_seed(0)
    return DLCH(8, 4, PICTURES, label_hidden=16, **options)


def at(model, epoch, monkeypatch):
    monkeypatch.setattr(type(model), "current_epoch", epoch)
    return model


def later(model, rows, num_old=6, **weights):
    """Put a model into a later phase: ``num_old`` seen items, of which the first two of the batch are replayed."""
    labels = rows["labels"]
    place = torch.full((len(labels),), -1)
    place[:2] = torch.arange(2)
    draw = torch.Generator().manual_seed(3)
    seen = {
        name: SeenCodes(sign(torch.randn(num_old, 8, generator=draw)), torch.arange(num_old) % 2, place)
        for name in model.encoders
    }
    seen[next(iter(seen))].labels[:2] = labels[:2]
    model.later = LifelongPhase(seen, {"labels": labels})
    with torch.no_grad():
        for name, table in model.later.tables.items():
            table.begin(model({f"{name}_features": rows[f"{name}_features"]}))
    return model
