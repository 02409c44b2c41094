"""Cross-modal methods trained by gradients: formulas against loops, and learning on two hundred pairs."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import DCMH, DJSRH, UCCH, CrossModalInfoNCE, CrossModalOrthoHash, load_model
from deephash.models.dcmh import negative_log_likelihood
from deephash.models.djsrh import joint_similarity
from deephash.models.two_towers import perceptron
from deephash.models.ucch import shifted_ranking
from deephash.objectives.signs import sign
from tests.cross_modal_toy import mean_average_precision, two_views

PICTURES, TEXTS = Backbone("features:256"), Backbone("features:160")
MAKERS = {
    "ortho": lambda **o: CrossModalOrthoHash(16, 10, PICTURES, TEXTS, **o),
    "infonce": lambda **o: CrossModalInfoNCE(16, PICTURES, TEXTS, **o),
    "dcmh": lambda **o: DCMH(16, PICTURES, TEXTS, hidden=(64,), **o),
    "djsrh": lambda **o: DJSRH(16, PICTURES, TEXTS, text_hidden=(64,), **o),
    "ucch": lambda **o: UCCH(16, PICTURES, TEXTS, image_hidden=(64,), text_hidden=(64,), **o),
}
each_method = pytest.mark.parametrize("method", MAKERS)


@pytest.fixture(scope="module")
def toy():
    image, text, labels = two_views(0, count=300)
    return image.float(), text.float(), labels


def batch_of(toy, rows):
    image, text, labels = toy
    rows = torch.as_tensor(rows)
    chosen = {"image_features": image[rows], "text_features": text[rows], "index": rows}
    return chosen | {"labels": torch.from_numpy(labels)[rows]}


def trained(method, toy, steps=60, seed=0):
    torch.manual_seed(seed)
    model = MAKERS[method]().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    history = []
    order = np.random.default_rng(seed)
    for _ in range(steps):
        losses = model.compute_losses(batch_of(toy, order.permutation(200)[:64]))
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    return model.eval(), history


@each_method
def test_loss_falls_and_codes_are_better_than_chance(method, toy):
    model, history = trained(method, toy)
    assert np.mean(history[-5:]) < np.mean(history[:5])
    image, text, labels = toy
    assert mean_average_precision(model, image, text, labels, 200) > 0.13


@each_method
def test_same_seed_same_weights(method, toy):
    first, second = (trained(method, toy, steps=3)[0] for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


@each_method
def test_saved_and_loaded(method, toy, tmp_path):
    model, _ = trained(method, toy, steps=2)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    inputs = {"text_features": toy[1][:20]}
    assert again.encode(inputs) == model.encode(inputs)
    assert again.vectors(inputs).shape == (20, 160)


@each_method
def test_one_modality_at_a_time(method, toy):
    with pytest.raises(UsageError, match="never meets its partner"):
        MAKERS[method]()({"image_features": toy[0][:2], "text_features": toy[1][:2]})


@pytest.mark.parametrize("method", ["infonce", "dcmh", "djsrh", "ucch"])
def test_pair_methods_leave_singles_out(method, toy):
    torch.manual_seed(0)
    model = MAKERS[method]().train()
    batch = batch_of(toy, range(20))
    batch |= {"has_image": torch.arange(20) < 15, "has_text": torch.arange(20) >= 5}
    half = sum(model.compute_losses(batch).values())
    torch.manual_seed(0)
    model = MAKERS[method]().train()
    whole = sum(model.compute_losses(batch_of(toy, range(5, 15))).values())
    torch.testing.assert_close(half, whole)
    with pytest.raises(UsageError, match="holds 0 complete ones"):
        model.compute_losses(batch | {"has_image": ~batch["has_text"]})


def test_orthohash_needs_labels_not_partners(toy):
    model = MAKERS["ortho"]().train()
    batch = batch_of(toy, range(20))
    alone = model.compute_losses(batch | {"has_image": torch.arange(20) < 8, "has_text": torch.arange(20) >= 8})
    assert set(alone) == {"image", "text"}
    with pytest.raises(UsageError, match="CrossModalInfoNCE"):
        model.compute_losses({k: v for k, v in batch.items() if k != "labels"})
    for method in ("dcmh",):
        with pytest.raises(UsageError, match="supervised"):
            MAKERS[method]().compute_losses({k: v for k, v in batch.items() if k != "labels"})


def test_orthohash_loss_is_small_at_the_codeword():
    model = CrossModalOrthoHash(32, 4, Backbone("features:32"), Backbone("features:32"), scale=20.0).eval()
    for head in model.heads.values():
        head[0].weight.data.copy_(torch.eye(32))
    rows = {f"{name}_features": model.targets for name in ("image", "text")}
    losses = model.compute_losses(rows | {"labels": torch.arange(4), "index": torch.arange(4)})
    assert sum(losses.values()) < 0.1


def test_shared_layer_is_one_layer():
    model = CrossModalInfoNCE(8, Backbone("features:12"), Backbone("features:12"), shared=True)
    assert model.heads["image"][0] is model.heads["text"][0]
    assert model.heads["image"][1] is not model.heads["text"][1]
    with pytest.raises(UsageError, match="one width"):
        MAKERS["infonce"](shared=True)
    with pytest.raises(UsageError, match="temperature"):
        MAKERS["infonce"](temperature=0)


def test_dcmh_likelihood_by_hand_and_without_overflow():
    draw = torch.Generator().manual_seed(0)
    f, g = (torch.randn(4, 4, generator=draw) for _ in range(2))
    similar = torch.eye(4)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            theta = float(f[i] @ g[j]) / 2
            expected += math.log(1 + math.exp(theta)) - float(similar[i, j]) * theta
    assert negative_log_likelihood(f, g, similar).item() == pytest.approx(expected, rel=1e-5)
    assert negative_log_likelihood(1e3 * f, 1e3 * g, similar).isfinite()
    assert negative_log_likelihood(f, g, similar) >= 0


def test_dcmh_balance_counts_all_outputs(toy):
    model = MAKERS["dcmh"]().eval()
    with torch.no_grad():
        model.compute_losses(batch_of(toy, range(10)))
        losses = model.compute_losses(batch_of(toy, range(10, 20)))
        outputs = model({"image_features": toy[0][:20]})
    assert float(losses["balance_image"]) == pytest.approx(
        model.eta * float(outputs.sum(0).square().sum()) / (10 * 20), rel=1e-4
    )


def test_djsrh_target_is_symmetric_and_as_written():
    draw = torch.Generator().manual_seed(0)
    image, text = torch.rand(6, 5, generator=draw), torch.rand(6, 3, generator=draw)
    target = joint_similarity(image, text, beta=0.3, eta=0.4, mu=1.5)
    torch.testing.assert_close(target, target.T)
    cosine = lambda x, i, j: float(normalize(x[i], dim=0) @ normalize(x[j], dim=0))  # noqa: E731
    mixed = np.array(
        [[0.3 * (2 * cosine(image, i, j) - 1) + 0.7 * (2 * cosine(text, i, j) - 1) for j in range(6)] for i in range(6)]
    )
    np.testing.assert_allclose(target.numpy(), 1.5 * (0.6 * mixed + 0.4 * mixed @ mixed.T / 6), atol=1e-5)
    with pytest.raises(UsageError, match="shares"):
        MAKERS["djsrh"](beta=1.5)


def test_ucch_bank_has_unit_rows_and_ranking_is_as_written(toy):
    model, _ = trained("ucch", toy, steps=3)
    bank = model.memory.everything("codes")
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(len(bank)))
    similarity = torch.tensor([[0.9, 0.1], [0.8, 0.5]])
    expected = np.mean(
        [
            0.2 - 0.9 + math.log(math.exp(0.9) + math.exp(0.1 - 0.1)),
            0.2 - 0.5 + math.log(math.exp(0.8) + math.exp(0.5)),
        ]
    )
    assert float(shifted_ranking(similarity, margin=0.2, shift=0.1)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="momentum"):
        MAKERS["ucch"](momentum=1.0)


def test_ucch_contrasts_with_the_memory_after_the_first_epoch(toy, monkeypatch):
    torch.manual_seed(0)
    model = MAKERS["ucch"](num_negatives=30).train()
    first = model.compute_losses(batch_of(toy, range(40)))["memory"].item()
    monkeypatch.setattr(type(model), "current_epoch", 1)
    later = model.compute_losses(batch_of(toy, range(40)))["memory"].item()
    assert first != later
    assert later > 0


def test_ucch_release_reads_the_bank_before_it_moves_and_moves_it_by_the_unit_mean(toy, monkeypatch):
    torch.manual_seed(0)
    model = MAKERS["ucch"](preset="release", num_negatives=30, momentum=0.4).train()
    index, mean = torch.arange(6), torch.randn(6, 16)
    own, negatives = model._remember(index, mean)
    assert negatives is None
    torch.testing.assert_close(own, sign(mean))
    before = model.memory.read("codes", index).clone()
    torch.testing.assert_close(before, normalize(mean, dim=1))
    monkeypatch.setattr(type(model), "current_epoch", 1)
    own, negatives = model._remember(index, 5 * torch.randn(6, 16, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(own, sign(before))
    assert {tuple(row) for row in negatives.tolist()} <= {tuple(row) for row in sign(before).tolist()}
    later = normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    torch.testing.assert_close(model.memory.read("codes", index), normalize(0.4 * before + 0.6 * later, dim=1))


def test_ucch_release_adds_both_modalities_up(toy):
    losses = {}
    for preset in ("paper", "release"):
        torch.manual_seed(0)
        losses[preset] = MAKERS["ucch"](preset=preset).eval().compute_losses(batch_of(toy, range(40)))["memory"].item()
    assert losses["release"] == pytest.approx(2 * losses["paper"], rel=1e-5)
    with pytest.raises(UsageError, match="did you mean 'release'"):
        MAKERS["ucch"](preset="relase")


def test_running_mean_follows_training_only(toy):
    model = MAKERS["infonce"]()
    model.eval().compute_losses(batch_of(toy, range(20)))
    assert model.image_mean.abs().sum() == 0
    model.train().compute_losses(batch_of(toy, range(20)))
    expected = 0.1 * normalize(toy[0][:20], dim=1).mean(0)
    torch.testing.assert_close(model.image_mean, expected)


def test_perceptron_layers():
    assert [type(layer).__name__ for layer in perceptron(4, (5,), 3, tanh=True)] == [
        "BatchNorm1d",
        "Linear",
        "ReLU",
        "Linear",
        "Tanh",
    ]
