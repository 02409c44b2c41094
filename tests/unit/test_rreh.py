"""RREH: every update lowers the objective, equals its closed form, and the method does what it claims on the toy."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_sylvester
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.cca import CCAHash
from deephash.models.rreh import RREH
from deephash.models.rreh_problem import (
    RelationProblem,
    RelationWeights,
    local_reconstruction,
    reconstruction,
    solve_symmetric_sylvester,
)
from tests.cross_modal_toy import half_paired, mean_average_precision, two_views

BLOCKS = ["update_u", "update_v_alone", "update_v_pairs", "update_z", "update_rotation", "update_w", "update_b"]


def features(width):
    return Backbone(f"features:{width}")


def small_problem(num_pairs=40, alone=(30, 20), bits=6, seed=0, weights=None, anchors=15, **options):
    draw = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    pairs = {"image": normal(num_pairs, 12), "text": normal(num_pairs, 9)}
    single = {"image": normal(alone[0], 12), "text": normal(alone[1], 9)}
    rows = torch.randperm(num_pairs, generator=draw)[:anchors]
    return RelationProblem(pairs, single, rows, bits, weights or RelationWeights(), draw, **options)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options", [{}, {"joint_z": True}, {"lle_neighbours": 4}, {"alone": (0, 0)}, {"alone": (25, 0)}], ids=str
)
def test_the_objective_never_rises_after_any_block(options, seed):
    problem = small_problem(seed=seed, **options)
    before = float(problem.objective())
    for _ in range(8):
        for block in BLOCKS:
            if block == "update_z" and not problem.joint_z:
                continue
            getattr(problem, block)()
            after = float(problem.objective())
            assert after <= before + 1e-7 * abs(before), block
            before = after


@pytest.mark.parametrize(
    ("block", "variable"),
    [("update_u", "u"), ("update_v_alone", "v"), ("update_z", "z"), ("update_w", "w")],
)
def test_quadratic_blocks_end_where_the_gradient_vanishes(block, variable):
    problem = small_problem(joint_z=True)
    problem.sweep()
    getattr(problem, block)()
    for side in problem.sides.values():
        leaf = getattr(side, variable).clone().requires_grad_()
        setattr(side, variable, leaf)
        (gradient,) = torch.autograd.grad(problem.objective(), leaf)
        assert gradient.abs().max() < 1e-8


def test_latent_pairs_end_where_the_gradient_vanishes_anchors_included():
    problem = small_problem()
    problem.sweep()
    problem.update_v_pairs()
    problem.v_pairs = problem.v_pairs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.objective(), problem.v_pairs)
    assert gradient.abs().max() < 1e-8


def test_anchor_step_equals_scipys_sylvester_solver():
    draw = np.random.default_rng(0)
    p = draw.standard_normal((5, 5))
    p = p @ p.T + np.eye(5)
    q = draw.standard_normal((8, 4))
    q = q @ q.T
    c = draw.standard_normal((8, 5))
    values, vectors = torch.linalg.eigh(torch.from_numpy(q))
    ours = solve_symmetric_sylvester(torch.from_numpy(p), values, vectors, torch.from_numpy(c))
    np.testing.assert_allclose(ours.numpy(), solve_sylvester(q, p, c), atol=1e-12)


def test_sign_step_beats_every_other_code():
    problem = small_problem(bits=4)
    problem.sweep()
    problem.update_b()
    best = float(problem.objective())
    codes = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4)
    for code in codes:
        keep = problem.b_pairs[3].clone()
        problem.b_pairs[3] = code
        assert float(problem.objective()) >= best - 1e-9
        problem.b_pairs[3] = keep


def test_rotation_is_orthogonal_and_a_gauge():
    problem = small_problem()
    problem.sweep()
    identity = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(problem.rotation @ problem.rotation.T, identity, atol=1e-12, rtol=0)
    before = problem.objective()
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    problem.v_pairs, problem.rotation = problem.v_pairs @ turn, turn.T @ problem.rotation
    for side in problem.sides.values():
        side.v, side.u = side.v @ turn, turn.T @ side.u
    torch.testing.assert_close(problem.objective(), before, rtol=1e-12, atol=0)


def test_a_huge_relation_weight_ties_singles_to_anchors():
    problem = small_problem(weights=RelationWeights(beta=1e6))
    for _ in range(3):
        problem.sweep()
        problem.update_v_alone()
    for side in problem.sides.values():
        assert (side.v - side.z @ problem.v_anchors).abs().max() < 1e-4


def test_reconstructions():
    draw = torch.Generator().manual_seed(0)
    anchors, rows = (torch.randn(n, 7, generator=draw, dtype=torch.float64) for n in (20, 30))
    z = reconstruction(anchors, rows, 0.5).requires_grad_()
    loss = (rows - z @ anchors).square().sum() + 0.5 * z.square().sum()
    assert torch.autograd.grad(loss, z)[0].abs().max() < 1e-9
    local = local_reconstruction(anchors, rows, 5, block=8)
    torch.testing.assert_close(local.sum(dim=1), torch.ones(30, dtype=torch.float64))
    assert ((local != 0).sum(dim=1) == 5).all()
    nearest = torch.cdist(rows, anchors).topk(5, largest=False).indices.sort(dim=1).values
    assert (local.nonzero()[:, 1].reshape(30, 5) == nearest).all()
    on_anchor = local_reconstruction(anchors, anchors[:3], 5)
    assert (on_anchor @ anchors - anchors[:3]).abs().max() < 0.05


@pytest.fixture(scope="module")
def toy():
    image, text, labels = two_views(0, count=1500)
    return image, text, labels, half_paired(image[:1200], text[:1200], 0.1)


def fitted(table, bits=32, **options):
    model = RREH(bits, features(256), features(160), **options)
    return model.fit(table, max_sweeps=30, tolerance=1e-6)


def test_claims_of_the_method_at_ten_percent_pairs(toy):
    image, text, labels, table = toy
    ours = fitted(table)
    without = fitted(table, weights=RelationWeights(beta=0.0))
    cca = CCAHash(32, features(256), features(160), ridge=1e-2, rotate=False).fit(table)
    scores = [mean_average_precision(model, image, text, labels, 1200) for model in (ours, without, cca)]
    assert scores[0] > scores[1] + 0.03
    assert scores[0] > scores[2] + 0.03
    assert all(after <= before for before, after in zip(ours.objectives, ours.objectives[1:], strict=False))


def test_variants_learn(toy):
    image, text, labels, table = toy
    chance = np.mean([(labels == label).mean() for label in range(10)])
    for options in ({"joint_z": True}, {"lle_neighbours": 10}, {"rbf_anchors": 200}):
        model = fitted(table, bits=16, **options)
        assert mean_average_precision(model, image, text, labels, 1200) > 3 * chance, options


def test_same_seed_same_codes_and_other_seed_others(toy):
    table = toy[-1]
    one, two, other = (fitted(table, bits=16, seed=seed) for seed in (3, 3, 4))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()


def shrunk(table, count=160):
    keep = torch.cat([torch.arange(60), torch.arange(200, 250), torch.arange(1300, 1350)])[:count]
    return {key: value[keep] for key, value in table.items()}


def test_order_of_items_and_names_of_modalities_do_not_matter(toy):
    table = shrunk(toy[-1])
    model = fitted(table, bits=8, num_anchors=999)
    order = torch.randperm(len(table["has_text"]), generator=torch.Generator().manual_seed(5))
    shuffled = fitted({key: value[order] for key, value in table.items()}, bits=8, num_anchors=999)
    codes, moved = (m.encode({"image_features": table["image_features"].float()}) for m in (model, shuffled))
    assert codes == moved
    swapped = {key.translate(str.maketrans("", "")): value for key, value in table.items()}
    for a, b in (("image_features", "text_features"), ("has_image", "has_text")):
        swapped[a], swapped[b] = table[b], table[a]
    mirrored = RREH(8, features(160), features(256), num_anchors=999).fit(swapped, max_sweeps=30, tolerance=1e-6)
    assert mirrored.encode({"text_features": table["image_features"].float()}) == codes


def test_learned_codes_belong_to_their_rows(toy):
    table = shrunk(toy[-1])
    model = fitted(table, bits=8)
    for modality in ("image", "text"):
        rows = model.training_rows(modality)
        assert table[f"has_{modality}"][rows].all()
        assert len(rows) == table[f"has_{modality}"].sum() == len(model.training_codes(modality))
    assert model.training_codes("image")[:60] == model.training_codes("text")[:60], "a pair has one code"


def test_a_query_never_meets_its_partner(toy):
    model = fitted(shrunk(toy[-1]), bits=8)
    with pytest.raises(UsageError, match="never meets its partner"):
        model({"image_features": torch.zeros(1, 256), "text_features": torch.zeros(1, 160)})
    with pytest.raises(UsageError, match="reads image"):
        model({"labels": torch.zeros(1)})


def test_bad_tables_are_refused(toy):
    table = shrunk(toy[-1])
    model = RREH(8, features(256), features(160))
    nothing = torch.zeros(len(table["has_text"]), dtype=torch.bool)
    with pytest.raises(UsageError, match="at least 2 complete pairs"):
        model.fit(table | {"has_image": ~table["has_text"]})
    with pytest.raises(UsageError, match="neither a picture nor a text"):
        model.fit(table | {"has_image": nothing, "has_text": nothing})
    with pytest.raises(UsageError, match="same length"):
        model.fit({"image_features": torch.zeros(3, 256), "text_features": torch.zeros(4, 160)})
    with pytest.raises(UsageError, match="text_features"):
        model.fit(torch.zeros(3, 256))
    with pytest.raises(UsageError, match="not fitted"):
        model.training_codes("image")
    with pytest.raises(UsageError, match="rbf_anchors=500"):
        RREH(8, features(256), features(160), rbf_anchors=500).fit(table)
    with pytest.raises(UsageError, match="joint_z"):
        RREH(8, features(256), features(160), joint_z=True, lle_neighbours=3)
    with pytest.raises(UsageError, match="num_anchors"):
        RREH(8, features(256), features(160), num_anchors=0)
    with pytest.raises(UsageError, match="above 0"):
        RelationWeights(gamma=0)
    with pytest.raises(UsageError, match="negative"):
        RelationWeights(beta=-1)


class Work(TorchDispatchMode):
    """Counts the numbers that every operation writes, and remembers the largest table."""

    def __init__(self):
        super().__init__()
        self.written, self.largest = 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for table in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(table, torch.Tensor):
                self.written += table.numel()
                self.largest = max(self.largest, table.numel())
        return result


@pytest.mark.parametrize("options", [{}, {"joint_z": True}, {"lle_neighbours": 5}, {"rbf_anchors": 30}])
def test_work_and_memory_grow_linearly_with_the_items(options):
    """Operations and tables are counted, not timed: twice the items are at most twice the work, nothing is n x n."""
    image, text, _ = two_views(0, count=3200)
    found = []
    for count in (1600, 3200):
        table = half_paired(image[:count, :20], text[:count, :12], 0.25)
        model = RREH(8, Backbone("features:20"), Backbone("features:12"), num_anchors=25, **options)
        with Work() as work, FlopCounterMode(display=False) as flops:
            model.fit(table, max_sweeps=2, tolerance=0.0)
        found.append((flops.get_total_flops(), work.written, work.largest))
    for small, double in zip(*found, strict=True):
        assert 0 < small < double <= 2.01 * small
