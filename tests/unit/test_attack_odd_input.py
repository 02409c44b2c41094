"""What strangers hand to attacks: odd shapes, precisions, labels and modes of torch. Sentences, or a kept budget."""

import numpy as np
import pytest
import torch

from deephash.attacks import DHTA, HAG, PGD, SDHA, THA, Aim, Collide, Known, Mainstay, Square
from deephash.attacks.steps import APGD, BIM, DI, MI, NI, SINI, VMI, Adam, Euclidean, GradientDescent
from deephash.errors import UsageError
from deephash.testing.attacks import NUM_BITS, SIDE, ToyHash, aim, pictures

EPSILON = 8 / 255
FLEEING = [PGD, HAG, SDHA, Mainstay, Square]
RULES = [BIM(), MI(), NI(), SINI(), DI(probability=1.0), VMI(), Euclidean(), GradientDescent(), Adam(), APGD()]


@pytest.fixture(scope="module")
def model():
    return ToyHash().eval()


def linear(*shape: int):
    weights = torch.randn(int(np.prod(shape)), NUM_BITS, generator=torch.Generator().manual_seed(3))
    return lambda pixels: (pixels.flatten(1) - 0.5) @ weights


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 5, 12)])
def test_oblong_pictures_off_the_grid_keep_the_budget(rule, shape):
    images = torch.rand(6, *shape, generator=torch.Generator().manual_seed(4))
    found = PGD(steps=6, rule=rule).perturb(linear(*shape), images)
    assert found.shape == images.shape
    assert (found - images).abs().max() <= EPSILON + 1e-6
    assert not torch.equal(found, images)


@pytest.mark.parametrize("kind", FLEEING)
def test_gradients_that_the_caller_switched_off_are_on_inside(model, kind):
    wanted = kind(steps=4).perturb(model, pictures(), aim())
    with torch.no_grad():
        assert torch.equal(kind(steps=4).perturb(model, pictures(), aim()), wanted)
    with torch.inference_mode():
        made_there = pictures()
        assert torch.equal(kind(steps=4).perturb(model, made_there, aim()), wanted)
        taking = Collide(steps=4).perturb(model, made_there, torch.ones(NUM_BITS))
    assert torch.equal(kind(steps=4).perturb(model, made_there, aim()), wanted)
    assert torch.equal(taking, Collide(steps=4).perturb(model, pictures(), torch.ones(NUM_BITS)))


@pytest.mark.parametrize("kind", FLEEING)
@pytest.mark.parametrize(("of_model", "of_pictures"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_pictures_and_model_may_differ_in_precision(kind, of_model, of_pictures):
    found = kind(steps=4).perturb(ToyHash().to(of_model).eval(), pictures().to(of_pictures), aim())
    assert found.dtype == of_pictures
    assert 0 < (found - pictures()).abs().max() <= EPSILON + 1e-6


@pytest.mark.parametrize("items", [np.arange(6), torch.arange(6), list(range(6))], ids=["numpy", "torch", "list"])
def test_item_numbers_of_any_kind(model, items):
    wanted = PGD(steps=2).perturb(model, pictures(), Aim(items=range(6)))
    assert torch.equal(PGD(steps=2).perturb(model, pictures(), Aim(items=items)), wanted)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (pictures()[:0], "no picture"),
        (pictures()[0], r"\[B, C, H, W\]"),
        (pictures().half(), r"\.float\(\)"),
        ((pictures() * 255).long(), "divide 8-bit values by 255"),
        (pictures().numpy(), "not a ndarray"),
        (torch.full((1, 3, SIDE, SIDE), torch.nan), "nan"),
    ],
)
def test_what_is_no_picture_is_refused(model, images, said):
    with pytest.raises(UsageError, match=said):
        PGD().perturb(model, images)


@pytest.mark.parametrize("codes", [torch.ones(3, NUM_BITS), torch.ones(6, 1, NUM_BITS), np.ones(NUM_BITS)])
def test_codes_of_another_shape_are_refused(model, codes):
    with pytest.raises(UsageError, match=r"codes aimed at are a tensor \[K\]"):
        Collide().perturb(model, pictures(), codes)


@pytest.mark.parametrize("kind", [PGD, Collide, DHTA, Square])
def test_codes_of_another_length_are_refused(model, kind):
    known = aim().known
    with pytest.raises(UsageError, match=r"codes of 12 bits; Aim\(codes=...\) has 7"):
        kind().perturb(model, pictures(), Aim(codes=torch.ones(7), known=known))


@pytest.mark.parametrize("kind", [SDHA, Mainstay, Square, DHTA])
def test_a_collection_of_another_length_or_none_is_refused(model, kind):
    labels, whole = torch.arange(6) % 3, aim().known
    for codes, said in ((whole.codes[:, :5], r"Aim\(known=...\) has 5"), (whole.codes[:0], "empty")):
        known = Known(codes, whole.labels[: len(codes)])
        with pytest.raises(UsageError, match=said):
            kind().perturb(model, pictures(), Aim(labels=labels, targets=(labels + 1) % 3, known=known))


def test_known_codes_need_a_label_each():
    with pytest.raises(UsageError, match="with a label each"):
        Known(torch.ones(10, 12), torch.zeros(9, dtype=torch.long))


@pytest.mark.parametrize("kind", [SDHA, Mainstay, DHTA, THA, Square])
def test_targets_that_nothing_carries_or_that_do_not_compare_are_refused(model, kind):
    known = aim().known
    for targets, said in (
        (torch.full((6,), 9), "no item carries a class of target 0"),
        (torch.full((6,), -1), "no item carries a class of target 0"),
        (torch.eye(6, 3), "do not compare"),
        (torch.tensor(1), "6 pictures need as many targets, not 1"),
    ):
        with pytest.raises(UsageError, match=said):
            kind().perturb(model, pictures(), Aim(targets=targets, known=known))


@pytest.mark.parametrize("options", [{"epsilon": "8/255"}, {"steps": 2.5}])
def test_options_of_another_type_are_refused(options):
    with pytest.raises(UsageError, match=r"number"):
        PGD(**options)


@pytest.mark.parametrize("given", [lambda pixels: None, lambda pixels: (pixels.flatten(1), 1)])
def test_a_function_that_gives_no_tensor_is_refused(given):
    with pytest.raises(UsageError, match="a tensor of continuous codes"):
        PGD().perturb(given, pictures())
