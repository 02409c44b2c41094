"""Defences: closed forms of their losses, what they leave alone, what they win, and that a run of theirs is any run."""

import json

import pytest
import torch

from deephash.attacks import PGD, victim_of
from deephash.attacks.defence_losses import atrdh_loss, cgat_loss, inner_attack, relaxed, saat_losses
from deephash.attacks.defences import ATRDH, SAAT, CgAT, NoiseTraining
from deephash.backbones import Backbone
from deephash.data import Digits
from deephash.errors import UsageError
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import CSQ, DPSH, ITQ, Optimizer, OrthoHash, load_model
from deephash.models.warm_start import WarmStart
from deephash.training import RunFolder, fit, make_trainer

CNN = Backbone("small_cnn:4", None, frozen=False, image_size=16)
DEFENCES = {"saat": SAAT, "cgat": CgAT, "atrdh": ATRDH}

GAINS = {"saat": 0.3, "cgat": 0.3, "atrdh": 0.05}  # in so few steps ATRDH's net has learned few prototypes


# Formulas ------------------------------------------------------------------------------------------


def test_losses_by_hand():
    outputs = torch.tensor([[0.5, -1.0], [0.0, 1.0]])
    guide = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    assert cgat_loss(outputs, guide) == pytest.approx(-(-0.25 + 0.5) / 2)
    terms = saat_losses(outputs, guide, weight=3.0, quantization=0.1)
    assert terms["adversarial"] == pytest.approx(3 * -0.125)
    assert terms["adversarial_quantization"] == pytest.approx(0.1 * (0.25 + 0 + 1 + 0) / 4)  # sign(0) is +1
    memory, similar = torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[True, False], [False, True]])
    expected = ((-0.25 - 1) ** 2 + (0.75 + 1) ** 2 + (0.5 + 1) ** 2 + (-0.5 - 1) ** 2) / 4
    assert atrdh_loss(outputs, memory, similar) == pytest.approx(expected)


def test_outputs_of_any_size_have_a_gradient_where_they_are_scaled():
    large = torch.tensor([[3e4, -1e4]], requires_grad=True)
    assert torch.autograd.grad(relaxed(large).sum(), large)[0].abs().min() > 0
    assert torch.autograd.grad(relaxed(large, scaled=False).sum(), large)[0].abs().max() == 0
    assert torch.equal(relaxed(torch.zeros(1, 3)), torch.zeros(1, 3))


def test_the_inner_attack_keeps_its_budget_at_the_borders_and_goes_the_right_way():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    outputs = lambda pixels: torch.tanh(pixels.flatten(1) @ weight.T)  # noqa: E731
    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(1)).round()  # all at 0 or 1
    guide = torch.ones(5, 4)
    before = outputs(images).mean()
    for away in (True, False):
        found = inner_attack(outputs, images, guide, away=away, epsilon=0.1, steps=5, step_size=0.04)
        assert (found - images).abs().max() <= 0.1 + 1e-6
        assert found.min() >= 0
        assert found.max() <= 1
        assert (outputs(found).mean() < before) == away
    assert torch.equal(inner_attack(outputs, images, guide, away=True, epsilon=0.0), images)
    start = inner_attack(outputs, images, guide, away=True, epsilon=0.1, steps=0)
    assert not torch.equal(start, images)


# One batch -----------------------------------------------------------------------------------------


def model_of(method=OrthoHash, bits=16):
    torch.manual_seed(0)
    return method(bits, 10, CNN, optimizer=Optimizer(learning_rate=3e-3, backbone_factor=1.0))


def a_batch(model, rows=24, labels=None):
    data = Digits(batch_size=rows)
    data.setup()
    data.attach(model, live=True)
    torch.manual_seed(0)
    batch = next(iter(data.train_dataloader()))
    return batch | ({} if labels is None else {"labels": labels(batch["labels"])})


@pytest.mark.parametrize("name", DEFENCES)
def test_statistics_modes_and_gradients_of_the_model_are_left_alone(name):
    model, hook = model_of().train(), DEFENCES[name](steps=2)
    batch = a_batch(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    prepared = hook.prepare(model, batch)
    terms = hook.extra_losses(model, prepared)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(each.training for each in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    encoder = model.encoders["image"]
    change = encoder.pixels(prepared["adversarial"]) - encoder.pixels(batch["image"])
    assert 1 / 255 < change.abs().max() <= 8 / 255 + 1e-6
    assert terms["adversarial"].requires_grad
    torch.stack(list(terms.values())).sum().backward()
    assert all(weight.grad is not None for weight in model.encoders.parameters())


def test_codes_and_outputs_are_kept_apart():
    model, hook = model_of(), SAAT(steps=1)
    batch = a_batch(model)
    hook.extra_losses(model, hook.prepare(model, batch))
    signs, outputs = hook.memory.everything("signs"), hook.memory.everything("outputs")
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert 0 < outputs.abs().max() < 1
    assert signs.data_ptr() != outputs.data_ptr()
    released = SAAT(steps=1, preset="release")
    released.extra_losses(model, released.prepare(model, batch))
    assert torch.equal(released.memory.everything("signs"), released.memory.everything("outputs"))


@pytest.mark.parametrize("name", DEFENCES)
def test_several_labels_and_unlabelled_rows(name):
    model, hook = model_of(CSQ), DEFENCES[name](steps=1)

    def several(numbers):
        table = torch.nn.functional.one_hot(numbers, 10).float()
        table[:, 0] = torch.arange(len(numbers)) % 2
        table[3] = 0
        return table

    batch = a_batch(model, labels=several)
    terms = hook.extra_losses(model, hook.prepare(model, batch))
    assert all(term.isfinite() for term in terms.values())


def test_a_row_that_shares_with_all_or_with_none_is_left_alone_by_the_release_of_cgat():
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    signs = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    asked, own = torch.tensor([[1, 0, 1], [0, 0, 0]]), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    found = {}
    for preset in ("paper", "release"):
        hook = CgAT(preset=preset)
        hook.memory.write(torch.arange(4), signs=signs, outputs=signs, labels=labels)
        found[preset] = hook.guides(asked, own)
    assert torch.equal(found["release"], torch.zeros(2, 2))
    assert torch.equal(found["paper"], torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))


def test_atrdh_teaches_its_net_on_the_codes():
    model, hook = model_of(), ATRDH(steps=1)
    batch = a_batch(model, rows=64)
    hook.prepare(model, batch)
    first = {name: value.clone() for name, value in hook.net.state_dict().items()}
    hook.prepare(model, batch)
    assert any(not torch.equal(value, first[name]) for name, value in hook.net.state_dict().items())


# Whole runs ----------------------------------------------------------------------------------------


def trained(folder, *hooks, epochs=3, resume=False, rows=128):
    model, data = model_of(), Digits(batch_size=rows)
    data.limit_items(400)
    torch.manual_seed(1)
    trainer = make_trainer(folder, max_epochs=epochs, accelerator="cpu", callbacks=list(hooks))
    fit(trainer, model, data, RunFolder(folder), resume=resume)
    return load_model(folder / "model")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "run"
    trained(folder, epochs=12)
    return folder


def scores(model):
    """Return clean and attacked mAP of 60 queries against the training items."""
    data = Digits()
    data.limit_items(400)
    database, query = data.splits["database"], data.splits["query"]
    codes = model.encode_images([data.table.sources["image"](row) for row in database.rows])
    pictures = [data.table.sources["image"](row) for row in query.rows[:60]]
    pixels = torch.stack([model.encoders["image"].cut(picture) for picture in pictures])
    attack = PGD(epsilon=8 / 255, steps=20, seed=0)
    found = [pixels, attack.perturb(model, pixels)]
    sides = [(victim_of(model).codes(each), query.labels[:60]) for each in found]
    return [
        mean_average_precision(side, codes, query_labels=labels, database_labels=database.labels)
        for side, labels in sides
    ]


@pytest.mark.parametrize("name", DEFENCES)
def test_robust_map_rises_and_clean_map_falls_little(name, plain, tmp_path):
    before = scores(load_model(plain / "model"))
    after = scores(
        trained(tmp_path / name, WarmStart(str(plain / "model")), DEFENCES[name](steps=4), epochs=8, rows=40)
    )
    assert before[1] < 0.5
    assert after[1] > before[1] + GAINS[name]
    assert after[0] > before[0] - 0.1


def test_a_resumed_run_ends_as_one_that_never_stopped(tmp_path):
    for name, make in DEFENCES.items():
        whole, broken = tmp_path / f"{name}-whole", tmp_path / f"{name}-broken"
        trained(whole, make(steps=1), epochs=3)
        trained(broken, make(steps=1), epochs=1)
        trained(broken, make(steps=1), epochs=3, resume=True)
        prints = [load_model(folder / "last").fingerprint() for folder in (whole, broken)]
        assert prints[0] == prints[1], name


def test_the_last_epoch_is_the_model_of_a_defended_run(tmp_path):
    trained(tmp_path, SAAT(steps=1), epochs=3)
    assert json.loads((tmp_path / "run.json").read_text())["best_epoch"] == 2
    prints = {load_model(tmp_path / name).fingerprint() for name in ("model", "last")}
    assert len(prints) == 1
    assert "SAAT" not in (tmp_path / "model" / "model.json").read_text()


def test_noise_reaches_the_losses_and_cached_features_do_not():
    model = model_of()
    batch = a_batch(model)
    noisy = NoiseTraining(0.5).prepare(model, batch | {"image_features": torch.zeros(24, 16)})
    encoder = model.encoders["image"]
    noise = encoder.pixels(noisy["image"]) - encoder.pixels(batch["image"])
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert "image_features" not in noisy
    assert torch.equal(noisy["labels"], batch["labels"])


# Mistakes ------------------------------------------------------------------------------------------


def test_what_cannot_be_defended_is_told(tmp_path):
    vectors = Backbone("features:64", weights=None)
    for model, said in ((ITQ(8, vectors), "ITQ is fitted in closed form"), (DPSH(8, vectors), "network that reads")):
        trainer = make_trainer(tmp_path / "run", max_epochs=1, accelerator="cpu", callbacks=[SAAT()])
        with pytest.raises(UsageError, match=said):
            fit(trainer, model, Digits(), RunFolder(tmp_path / "run"))
    batch = {"image": torch.zeros(2, 3, 16, 16), "index": torch.arange(2)}
    with pytest.raises(UsageError, match="guide codes from labels, and this data has none"):
        SAAT().prepare(model_of(), batch)
    with pytest.raises(UsageError, match="8/255"):
        SAAT(epsilon=8)
    with pytest.raises(UsageError, match="presets"):
        SAAT(preset="papr")
    with pytest.raises(UsageError, match="share of the pixel range"):
        NoiseTraining(-1)
