"""DLCH's later phases: codes that stand, codes that are solved, and the loss beside other methods."""

import pytest
import torch

from deephash.errors import UsageError
from deephash.models import DPSH
from deephash.models.lifelong_hook import LifelongHashing
from deephash.models.lifelong_phase import LifelongPhase, SeenCodes
from deephash.objectives import lifelong_pairs
from deephash.objectives.lifelong_codes import LifelongWeights
from deephash.objectives.signs import sign
from tests.dlch_toy import PICTURES, alone, both, later, pairs
from tests.image_methods_toy import batch


def test_the_release_pulls_outputs_to_codes_of_other_items():
    rows = batch()
    fine, released = later(alone(), rows), alone()
    place = fine.later.tables["image"].place
    seen = {"image": SeenCodes(fine.later.tables["image"].old, torch.arange(6) % 2, place)}
    released.later = LifelongPhase(seen, {"labels": rows["labels"]}, alone(preset="release").lifelong)
    with torch.no_grad():
        released.later.tables["image"].begin(released(rows))
    index = torch.tensor([0, 1, 5, 9])
    right, wrong = (model.later.tables["image"] for model in (fine, released))
    number = (index[2:] - 2).tolist()
    assert torch.equal(right._own(index), torch.cat([right.old[:2], right.codes[number]]))
    assert torch.equal(wrong._own(index), torch.cat([wrong.old, wrong.codes])[index])
    assert torch.equal(right.codes, sign(right.outputs[2:]))
    assert not torch.equal(wrong.codes, right.codes)


def test_solving_lowers_the_objective_and_never_touches_old_codes():
    rows = batch(64)
    model = later(alone(), rows)
    table = model.later.tables["image"]
    old = table.old.clone()
    for _ in range(4):
        model.compute_losses(rows)
        table.solve()
    assert table.objectives == sorted(table.objectives, reverse=True)
    assert torch.equal(table.old, old)
    assert set(table.codes.unique().tolist()) == {-1, 1}
    every = table.codes_of_all()
    assert torch.equal(every[:2], old[:2])
    assert torch.equal(every[2:], table.codes)


def test_unlabelled_new_items_keep_the_codes_of_the_network():
    rows = batch()
    rows["labels"][5] = -1
    table = later(alone(), rows).later.tables["image"]
    assert 5 not in table.new_rows
    table.solve()
    assert torch.equal(table.codes_of_all()[5], sign(table.outputs[5]))


def joint_objective(tables, rows, codes):
    """sum_m |K S - U_m V'|^2 + alpha sum_m |V - U_m|^2 by loops, the second over the halves there are."""
    total = 0.0
    for table in tables:
        u, bits = torch.tanh(table.outputs), table.num_bits
        for i in table.labelled.nonzero()[:, 0]:
            for number, j in enumerate(rows):
                similar = float(table.labels[i] == (max(each.labels[j] for each in tables)))
                total += (bits * similar - float(u[i] @ codes[number])) ** 2
        for number, j in enumerate(rows):
            if table.labelled[j]:
                total += table.weights.alpha * float((codes[number] - u[j]).square().sum())
    return total


def test_a_new_pair_has_one_code_and_half_a_pair_one_too():
    rows = pairs(12)
    columns = {"labels": rows["labels"], "has_image": torch.arange(12) != 5, "has_text": torch.arange(12) != 7}
    model = later(both(), rows)
    seen = {name: SeenCodes(t.old, torch.arange(6) % 2, t.place) for name, t in model.later.tables.items()}
    model.later = LifelongPhase(seen, columns)
    tables = list(model.later.tables.values())
    draw = torch.Generator().manual_seed(1)
    for table in tables:
        table.begin(torch.randn(12, 8, generator=draw))
    lifelong_pairs.begin_together(tables)
    image, text = tables
    assert 5 not in image.new_rows
    assert 7 not in text.new_rows
    together = [row for row in range(2, 12) if row not in (5, 7)]
    for row in together:
        expected = sign(image.outputs[row] + text.outputs[row])
        assert torch.equal(_code([image], row), expected)
        assert torch.equal(_code([text], row), expected)
    assert torch.equal(_code([text], 5), sign(text.outputs[5]))
    values, fresh = [], list(range(2, 12))
    for _ in range(4):
        every = torch.stack([_code(tables, row) for row in fresh])
        values.append(joint_objective(tables, fresh, every))
        model.later.solve("image")
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]
    assert len(image.objectives) == len(text.objectives) == 4


def _code(tables, row):
    table = next(each for each in tables if row in each.new_rows)
    return table.codes[int((table.new_rows == row).nonzero())]


@pytest.mark.parametrize("options", [{"shared": False}, {"preset": "release"}])
def test_without_sharing_each_half_is_solved_alone(options):
    rows = pairs(12)
    model = later(both(), rows)
    seen = {name: SeenCodes(t.old, torch.arange(6) % 2, t.place) for name, t in model.later.tables.items()}
    model.later = LifelongPhase(seen, {"labels": rows["labels"]}, LifelongWeights(**options))
    image, text = model.later.tables.values()
    for number, table in enumerate((image, text)):
        table.begin(torch.randn(12, 8, generator=torch.Generator().manual_seed(number)))
    before = text.codes.clone()
    model.later.solve("image")
    assert len(image.objectives) == 1
    assert torch.equal(text.codes, before)


def test_tables_that_do_not_fit_are_refused():
    codes, labels = torch.ones(3, 8), torch.zeros(2, dtype=torch.long)
    with pytest.raises(UsageError, match="as many labels"):
        LifelongPhase({"image": SeenCodes(codes, labels, torch.zeros(4, dtype=torch.long))}, {"labels": torch.ones(4)})
    seen = {"image": SeenCodes(codes[:2], labels, torch.tensor([0, 5]))}
    with pytest.raises(UsageError, match="row 5 of 2"):
        LifelongPhase(seen, {"labels": labels})


def test_beside_another_method_the_terms_are_of_the_order_of_similarities():
    rows, weight = batch(), 0.5
    phase = later(alone(), rows).later
    torch.manual_seed(0)
    other = DPSH(8, PICTURES)
    hook = LifelongHashing(weight=weight)
    hook.phase = phase
    with torch.no_grad():
        expected = phase.losses("image", other(rows), rows)
        found = hook.extra_losses(other, rows)
    assert set(found) == {f"lifelong_image_{name}" for name in expected}
    for name, term in expected.items():
        assert found[f"lifelong_image_{name}"].item() == pytest.approx(weight * term.item() / 8**2)
