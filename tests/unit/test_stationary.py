"""Stationary targets: reserved rows, one table for several models, the simplex and its guard."""

import json

import numpy as np
import pytest
import torch

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import FeatureFile
from deephash.data.stream_drawing import class_stream, extended
from deephash.data.stream_task import StreamTask
from deephash.encoding.targets import TargetTable, compare_targets
from deephash.errors import CollectionDamaged, UsageError
from deephash.models import CSQ, DPN, CrossModalOrthoHash, OrthoHash, load_model
from deephash.objectives.centres import centre_report, make_centres
from deephash.objectives.class_targets import class_targets, require_apart
from deephash.objectives.simplex import rotated_signs, rotation, simplex, simplex_loss
from deephash.training import RunFolder, fit, make_trainer
from deephash.training.inheritance import inherited
from deephash.training.options import TrainOptions
from tests.unit.test_lineage import CLASSES, FEATURES, learn
from tests.unit.test_streams import feature_file

METHODS = [OrthoHash, CSQ, DPN]


# The simplex ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 10, 101, 1024])
def test_a_simplex_is_one(classes):
    corners = simplex(classes)
    assert corners.shape == (classes, classes - 1)
    gram = corners @ corners.T
    wanted = torch.full_like(gram, -1 / (classes - 1)).fill_diagonal_(1)
    assert torch.allclose(gram, wanted, atol=1e-6)
    assert corners.sum(dim=0).abs().max() < 1e-9


def test_signs_of_a_simplex_are_no_codes_and_are_refused():
    for classes in (10, 101):
        bare = torch.where(simplex(classes) >= 0, 1.0, -1.0)
        distances = (bare.shape[1] - bare @ bare.T) / 2
        assert distances.fill_diagonal_(0).max() <= 2
        with pytest.raises(UsageError, match="signs of simplex coordinates need a rotation"):
            require_apart(bare)


def test_a_rotation_repairs_them():
    codes = rotated_signs(simplex(101), 100, seed=0)
    report = centre_report(codes)
    assert report.min_distance >= 25
    assert 45 < report.mean_distance < 55
    assert torch.equal(codes, rotated_signs(simplex(101), 100, seed=0))
    for width, bits in ((9, 64), (100, 32), (7, 7)):
        q = rotation(width, bits)
        small = q @ q.T if width <= bits else q.T @ q
        assert torch.allclose(small, torch.eye(len(small), dtype=torch.float64), atol=1e-9)


def test_the_simplex_loss_is_the_cross_entropy_of_plain_inner_products():
    corners = simplex(4)
    features = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, -1, 0])
    logits = features @ corners.T
    rows = [row for row in range(6) if labels[row] >= 0]
    wanted = -torch.stack([logits[row].log_softmax(0)[labels[row]] for row in rows]).mean()
    assert torch.allclose(simplex_loss(features, labels, corners), wanted)
    assert simplex_loss(features, torch.full((6,), -1), corners) == 0


# Tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bernoulli", "maxhd", "hadamard", "simplex"])
def test_reserved_rows_keep_their_distance(kind):
    table = class_targets(kind, 10, (64,), seed=1, reserve=40)
    assert table.shape == (50, 64)
    assert 4 * centre_report(table).min_distance >= 64
    assert torch.equal(table, class_targets(kind, 10, (64,), seed=1, reserve=40))


def test_without_a_reserve_targets_are_what_they_were():
    assert torch.equal(class_targets("bernoulli", 10, (64,), seed=3), make_centres("bernoulli", 10, 64, seed=3))


def test_too_many_reserved_rows_are_refused():
    with pytest.raises(UsageError, match=r"use more bits or reserve fewer rows \(--reserve\)"):
        class_targets("bernoulli", 10, (8,), reserve=200)
    with pytest.raises(UsageError, match="0 or more, not -1"):
        class_targets("bernoulli", 10, (8,), reserve=-1)
    with pytest.raises(UsageError, match="reserved targets stay as they are"):
        DPN(16, 4, FEATURES, update_targets_every=2, reserve=3)


@pytest.mark.parametrize("method", METHODS)
def test_the_table_is_kept_with_the_model(method, tmp_path):
    model = method(32, 3, FEATURES, reserve=5)
    model.target_classes = ("a", "b", "c")
    model.save(tmp_path / "m")
    record = json.loads((tmp_path / "m" / "model.json").read_text())["targets"]
    table = TargetTable.load(tmp_path / "m")
    assert record == {"version": 1, "checksum": table.checksum, "rows": 8, "classes": 3}
    assert table.classes == ("a", "b", "c")
    assert table.reserved == 5
    again = load_model(tmp_path / "m")
    assert again.target_table().names == table.names
    assert again.target_table().codes == table.codes
    assert again.fingerprint() == model.fingerprint()


@pytest.mark.parametrize("method", METHODS)
def test_another_model_finds_the_rows_of_its_classes_by_name(method):
    old = method(32, 3, FEATURES, reserve=5)
    old.target_classes = ("a", "b", "c")
    new = method(32, 5, Backbone("features:4", weights=None), reserve=3)
    new.take_targets(old.target_table(), ("c", "x", "a", "y", "b"))
    found = compare_targets(old.target_table(), new.target_table())
    assert found.one_space
    assert set(found.shared) == {"a", "b", "c"}
    assert set(found.new) == {"x", "y"}
    rows = dict(zip(old.target_table().names, old.target_table().codes.hex(), strict=True))
    assert new.target_table().codes.hex()[2] == rows["a"]


def test_a_table_without_room_grows_and_its_rows_stay():
    old = OrthoHash(32, 3, FEATURES)
    old.target_classes = ("a", "b", "c")
    new = OrthoHash(32, 5, FEATURES, target_seed=4)
    new.take_targets(old.target_table(), ("a", "x", "b", "c", "y"))
    found = compare_targets(old.target_table(), new.target_table())
    assert found.one_space
    assert not found.same_table
    assert found.new == ("x", "y")
    distances = new.target_table().codes.hamming(new.target_table().codes)
    assert (distances[[1, 4]] + 32 * np.eye(5, dtype=int)[[1, 4]]).min() >= 8


def test_losses_with_reserved_rows_are_finite_and_learn_their_classes():
    batch = {"image_features": torch.randn(16, 8), "labels": torch.arange(16) % 3, "index": torch.arange(16)}
    for method in METHODS:
        for labels in (batch["labels"], torch.eye(3)[batch["labels"]]):
            losses = method(32, 3, FEATURES, reserve=5).compute_losses(batch | {"labels": labels})
            assert all(term.isfinite() for term in losses.values())


def test_independent_tables_are_told_apart():
    tables = []
    for seed in (0, 1):
        model = OrthoHash(32, 3, FEATURES, target_seed=seed)
        model.target_classes = ("a", "b", "c")
        tables.append(model.target_table())
    found = compare_targets(*tables)
    assert not found.one_space
    assert found.conflicting == ("a", "b", "c")


def test_tables_that_do_not_fit_are_refused():
    table = TargetTable(
        BinaryCodes.from_signs(class_targets("bernoulli", 3, (32,), reserve=1).numpy()), ("a", "b", "", "")
    )
    tiny = TargetTable(BinaryCodes.from_signs(np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])), tuple("abcd"))
    with pytest.raises(UsageError, match="the table is full"):
        tiny.with_classes(tuple("abcde"))
    with pytest.raises(UsageError, match=r"use --model.init_args.reserve=2"):
        OrthoHash(32, 2, FEATURES).take_targets(table, ("a", "b"))
    with pytest.raises(UsageError, match="32 bits, and this model 16"):
        OrthoHash(16, 4, FEATURES).take_targets(table, ("a", "b", "c", "d"))
    near = np.ones((4, 32), dtype=np.int8)
    near[np.arange(4), np.arange(4)] = -1
    with pytest.raises(UsageError, match="differ in 2 of 32 bits"):
        OrthoHash(32, 2, FEATURES, reserve=2).take_targets(
            TargetTable(BinaryCodes.from_signs(near), ("a", "b", "", "")), ("a", "b")
        )
    with pytest.raises(UsageError, match="no class twice"):
        TargetTable(BinaryCodes.from_signs(near), ("a", "a", "", ""))


def test_a_damaged_table_is_refused(tmp_path):
    OrthoHash(32, 3, FEATURES).save(tmp_path / "m")
    (tmp_path / "m" / "targets.npz").write_bytes(b"no table")
    with pytest.raises(CollectionDamaged):
        load_model(tmp_path / "m")


def test_both_towers_share_the_table():
    model = CrossModalOrthoHash(32, 3, FEATURES, FEATURES, reserve=5)
    assert model.target_table().reserved == 5


# From run to run -----------------------------------------------------------------------------------------


@pytest.fixture
def grown(tmp_path):
    """A stream of three classes, and the same with a fourth one."""

    def describe(path):
        return {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}

    old = feature_file(tmp_path, classes=CLASSES[:3])
    new = feature_file(tmp_path, classes=CLASSES, name="grown.npz")
    stream = class_stream(FeatureFile(str(old)), describe(old), [2, 1], order=CLASSES[:3])
    stream.save(tmp_path / "s.json")
    extended(stream, FeatureFile(str(new)), describe(new)).save(tmp_path / "grown.json")
    return tmp_path


def test_a_descendant_with_more_classes_keeps_the_table(grown):
    learn(grown / "s.json", grown / "one", 1, model=OrthoHash(16, 3, FEATURES, reserve=4))
    learn(grown / "s.json", grown / "two", 2, grown / "one", model=OrthoHash(16, 3, FEATURES, reserve=4))
    learn(grown / "grown.json", grown / "three", 3, grown / "two", model=OrthoHash(16, 4, FEATURES, reserve=3))
    tables = [TargetTable.load(grown / name) for name in ("one", "two", "three")]
    assert len({table.checksum for table in tables}) == 1
    assert tables[2].classes == CLASSES
    assert compare_targets(tables[0], tables[2]).one_space


def test_a_new_backbone_from_scratch_keeps_the_table(grown):
    learn(grown / "s.json", grown / "one", 1, model=OrthoHash(16, 3, FEATURES, reserve=4))
    torch.manual_seed(7)
    other = OrthoHash(16, 3, Backbone("features:8", weights=None), batch_norm=False, reserve=4, target_seed=9)
    before = other.target_table()
    data = StreamTask(str(grown / "s.json"), task=2, replay="all")
    fit(
        make_trainer(grown / "core", max_epochs=1, accelerator="cpu"),
        other,
        data,
        RunFolder(grown / "core"),
        inheritance=inherited(TrainOptions(targets=grown / "one")),
    )
    after = TargetTable.load(grown / "core")
    assert after.checksum == TargetTable.load(grown / "one").checksum != before.checksum
