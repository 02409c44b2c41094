"""Every cross-modal model keeps the promises of a hash model, asked by picture and by text."""

import torch

from deephash.backbones import Backbone
from deephash.models import (
    CMFH,
    DCMH,
    DJSRH,
    RREH,
    UCCH,
    CCAHash,
    CrossModalInfoNCE,
    CrossModalITQ,
    CrossModalOrthoHash,
    CrossModalPCA,
)
from deephash.testing.methods import HashModelContract

PICTURES, TEXTS = Backbone("features:40"), Backbone("features:36")


def table(count=60, text_width=36):
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(count, 8, generator=draw)
    views = [
        shared @ torch.randn(8, width, generator=draw) + 0.3 * torch.randn(count, width, generator=draw)
        for width in (40, text_width)
    ]
    return {"image_features": views[0], "text_features": views[1]}


class ByPicture(HashModelContract):
    def make_inputs(self, num_items):
        return {"image_features": table()["image_features"][:num_items]}


class TestRREH(ByPicture):
    def make_model(self, num_bits):
        return RREH(num_bits, PICTURES, TEXTS, rbf_anchors=20, num_anchors=10).fit(table(), max_sweeps=3)


class TestRREHByText(TestRREH):
    def make_inputs(self, num_items):
        return {"text_features": table()["text_features"][:num_items]}


class TestCCAHash(ByPicture):
    def make_model(self, num_bits):
        return CCAHash(num_bits, PICTURES, TEXTS).fit(table(), max_sweeps=3)


class TestCrossModalPCA(ByPicture):
    def make_model(self, num_bits):
        return CrossModalPCA(num_bits, PICTURES, TEXTS).fit(table(), max_sweeps=3)


class TestCMFH(ByPicture):
    def make_model(self, num_bits):
        return CMFH(num_bits, PICTURES, TEXTS).fit(table(), max_sweeps=3)


class TestCrossModalITQ(ByPicture):
    def make_model(self, num_bits):
        return CrossModalITQ(num_bits, PICTURES, PICTURES).fit(table(text_width=40), max_sweeps=3)


class TestCrossModalOrthoHash(ByPicture):
    lengths = (4, 12, 32)  # ten classes need four bits

    def make_model(self, num_bits):
        return CrossModalOrthoHash(num_bits, 10, PICTURES, TEXTS)


class TestCrossModalInfoNCE(ByPicture):
    def make_model(self, num_bits):
        return CrossModalInfoNCE(num_bits, PICTURES, TEXTS)


class TestDCMH(ByPicture):
    def make_model(self, num_bits):
        return DCMH(num_bits, PICTURES, TEXTS, hidden=(16,))


class TestDJSRH(ByPicture):
    def make_model(self, num_bits):
        return DJSRH(num_bits, PICTURES, TEXTS, text_hidden=(16,))


class TestUCCH(ByPicture):
    def make_model(self, num_bits):
        return UCCH(num_bits, PICTURES, TEXTS, image_hidden=(16,), text_hidden=(16,))
