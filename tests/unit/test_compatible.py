"""HOC, BCT and BEBR: the losses by hand, and as hooks of a run that continues another."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from deephash.data import StreamTask
from deephash.errors import UsageError
from deephash.models import DPSH, Optimizer, OrthoHash, load_model
from deephash.models.compatible import BCT, HOC, BEBRCompatible
from deephash.models.warm_start import WarmStart
from deephash.objectives.compatible import class_means, hoc_loss, influence_loss, pair_nce
from deephash.training import RunFolder, fit, make_trainer
from deephash.training.inheritance import inherited
from deephash.training.options import TrainOptions
from tests.unit.test_lineage import CLASSES, FEATURES, learn
from tests.unit.test_lineage import stream as stream  # a fixture
from tests.unit.test_streams import feature_file as feature_file


def signs(rows, bits, seed=0):
    return torch.randint(0, 2, (rows, bits), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


# Formulas ------------------------------------------------------------------------------------------------


def test_hoc_of_equal_codes_and_orthogonal_classes_is_known():
    codes = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 1]]  # two classes, two items each, at right angles
    labels = torch.tensor([0, 0, 1, 1])
    # s_ii = mu; of the denominator the two of the own class add exp 0 = 1, and so do the two at cosine 0
    for mu in (1.0, 10.0):
        assert hoc_loss(codes, codes, labels, mu=mu) == pytest.approx(-mu + math.log(4))


def test_hoc_is_the_formula():
    new, old = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), signs(6, 8)
    labels = torch.tensor([0, 1, 0, 2, -1, -1])
    total = 0.0
    for i in range(6):
        parts = []
        for j in range(6):
            score = 10 * normalize(old[i], dim=0) @ normalize(new[j], dim=0)
            same = i == j or (labels[i] == labels[j] and labels[i] >= 0)
            parts.append(torch.exp(score * (not same)))
        own = 10 * normalize(old[i], dim=0) @ normalize(new[i], dim=0)
        total += -own + torch.log(torch.stack(parts).sum())
    assert hoc_loss(new, old, labels) == pytest.approx(float(total / 6))


def test_swapping_items_of_a_class_leaves_hoc_alone():
    new, old, labels = torch.randn(5, 16), signs(5, 16).float(), torch.tensor([0, 0, 1, 1, 2])
    order = torch.tensor([1, 0, 2, 3, 4])
    assert torch.allclose(hoc_loss(new, old, labels), hoc_loss(new[order], old[order], labels))


def test_several_labels_are_one_class_where_one_is_shared():
    new, old = torch.randn(3, 8), signs(3, 8).float()
    several = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert torch.allclose(hoc_loss(new, old, several), hoc_loss(new, old, torch.tensor([0, 0, 1])))


def test_the_influence_is_the_cross_entropy_of_the_old_classifier():
    new, means = torch.randn(5, 8), signs(3, 8).float()
    labels = torch.tensor([0, 1, 2, 1, -1])
    logits = 8 * normalize(new, dim=1) @ normalize(means, dim=1).T
    assert torch.allclose(influence_loss(new, means, labels), cross_entropy(logits[:4], labels[:4]))
    means[2] = 0  # the old model has no direction for this class
    expected = cross_entropy(logits[[0, 1, 3]][:, :2], labels[[0, 1, 3]])
    assert torch.allclose(influence_loss(new, means, labels), expected)
    assert influence_loss(new, means, torch.full((5,), 2)) == 0


def test_pair_nce_is_the_formula():
    new = torch.randn(6, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    old, labels = signs(6, 16), torch.tensor([0, 0, 1, 1, 2, 2])
    bits = torch.where(new >= 0, 1.0, -1.0).double()
    for other, own in ((bits, False), (old, True)):
        cosine = bits @ other.T / 16 / 0.05
        rows = []
        for i in range(6):
            hard = cosine[i][labels != labels[i]].topk(2).values
            pairs = [j for j in range(6) if labels[j] == labels[i] and (own or j != i)]
            rows.append(
                torch.stack(
                    [torch.logsumexp(torch.cat([hard, cosine[i, j][None]]), 0) - cosine[i, j] for j in pairs]
                ).mean()
            )
        found = pair_nce(new, new if not own else old, labels, own=own, hardest=2)
        assert found == pytest.approx(float(torch.stack(rows).mean()))


def test_gradients_reach_the_new_codes_only():
    new, old = torch.randn(4, 8, requires_grad=True), signs(4, 8).float().requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    for loss in (hoc_loss(new, old.detach(), labels), pair_nce(new, old.detach(), labels, own=True)):
        (gradient,) = torch.autograd.grad(loss, new)
        assert gradient.abs().sum() > 0


def test_means_of_classes():
    found = class_means(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]), torch.tensor([0, 0, 2]), 3)
    assert found.tolist() == [[1, 0], [0, 0], [-1, -1]]
    with pytest.raises(UsageError, match="of the same items"):
        hoc_loss(torch.zeros(2, 3), torch.zeros(2, 4), torch.tensor([0, 1]))


# Hooks ---------------------------------------------------------------------------------------------------


def continued(stream, folder, ancestor, hook, *, epochs=12, model=None, warm=True):
    torch.manual_seed(5)
    data = StreamTask(str(stream), task=2, replay=12, hold_out=False)
    starts = [WarmStart(str(ancestor / "model"))] if warm else []
    trainer = make_trainer(folder, max_epochs=epochs, callbacks=[*starts, hook], accelerator="cpu", log_every_n_steps=1)
    model = model or OrthoHash(16, 4, FEATURES)
    fit(trainer, model, data, RunFolder(folder), inheritance=inherited(TrainOptions(continue_from=ancestor)))
    return trainer, data


@pytest.mark.parametrize("hook", [HOC, BCT, BEBRCompatible])
def test_a_hook_finds_the_old_codes_and_adds_its_term(stream, tmp_path, hook):
    learn(stream, tmp_path / "one", epochs=20, hold_out=False)
    made = hook()
    trainer, data = continued(stream, tmp_path / "two", tmp_path / "one", made, epochs=2)
    assert f"train/{hook.__name__.lower()}" in trainer.logged_metrics
    old, split = made.old[""], data.splits["train"]
    rows = data.book.rows(split.names)
    replayed = split.sessions == 1
    assert replayed.sum() == 12
    stored = data.book.codes.signs()[rows[replayed]]
    assert torch.equal(old[torch.from_numpy(replayed)], torch.from_numpy(stored))
    fresh = old[torch.from_numpy(~replayed)]
    assert (fresh.abs() == float(made.new_items)).all()  # of new items: by the ancestor's weights, where they count


@pytest.mark.parametrize("hook", [HOC, BCT, BEBRCompatible])
def test_a_hook_brings_a_new_model_into_the_old_space(stream, tmp_path, hook):
    """DPSH has no targets: from fresh weights its codes have nothing to do with the old ones but by the hook."""

    def made():
        return DPSH(16, FEATURES, optimizer=Optimizer("adam", learning_rate=0.03))

    learn(stream, tmp_path / "one", epochs=20, hold_out=False, model=made())
    differ = []
    for name, weight in (("without", 0.0), ("with", 20.0)):
        own = hook(weight=weight)
        _, data = continued(stream, tmp_path / name, tmp_path / "one", own, model=made(), warm=False, epochs=30)
        known = own.old[""].abs().sum(dim=1) > 0
        data.book = None
        now = torch.from_numpy(data.codes(load_model(tmp_path / name), "train").signs()).float()
        differ.append(float((now * own.old[""].float() < 0)[known].float().mean()))
    assert differ[0] > 0.3
    assert differ[1] < 0.6 * differ[0]


def test_without_stored_codes_a_hook_says_what_is_missing(stream, tmp_path):
    trainer = make_trainer(tmp_path / "r", max_epochs=1, callbacks=[HOC()], accelerator="cpu")
    with pytest.raises(UsageError, match=r"there are none: deephash train --continue-from RUN"):
        fit(trainer, OrthoHash(16, 4, FEATURES), StreamTask(str(stream)), RunFolder(tmp_path / "r"))


def test_a_hook_without_anything_to_keep_says_so(stream, tmp_path):
    learn(stream, tmp_path / "one", hold_out=False)
    trainer = make_trainer(tmp_path / "r", max_epochs=1, callbacks=[HOC()], accelerator="cpu")
    how = {"inheritance": inherited(TrainOptions(continue_from=tmp_path / "one"))}
    with pytest.raises(UsageError, match=r"--replay 500, or compare new items .*--compatible.new_items=true"):
        fit(trainer, OrthoHash(16, 4, FEATURES), StreamTask(str(stream), task=2), RunFolder(tmp_path / "r"), **how)


def test_from_scratch_only_stored_codes_are_known(stream, tmp_path):
    learn(stream, tmp_path / "one", hold_out=False)
    made = HOC()
    _, data = continued(stream, tmp_path / "two", tmp_path / "one", made, epochs=1, warm=False)
    known = made.old[""].abs().sum(dim=1) > 0
    assert torch.equal(known, torch.from_numpy(data.splits["train"].sessions == 1))


def test_wrong_weights_are_refused():
    for make, message in (
        (lambda: HOC(weight=-1), "0 or more, not -1"),
        (lambda: HOC(mu=0), "above 0, not 0"),
        (lambda: BEBRCompatible(temperature=0), "not 0 and 5"),
    ):
        with pytest.raises(UsageError, match=message):
            make()
    assert CLASSES
