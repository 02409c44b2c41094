"""Model folders: damaged, foreign, too new or half-replaced ones; and optimisers."""

import inspect
import json
from dataclasses import replace

import pytest
import torch

import deephash.models
from deephash.backbones import Backbone
from deephash.errors import CollectionDamaged, FormatTooNew, UsageError
from deephash.models import DPSH, CSCENet, HashNet, ObjectiveHashModel, Optimizer, OrthoHash, load_model


@pytest.fixture
def saved(tmp_path):
    OrthoHash(16, 3, Backbone("features:8", weights=None)).save(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **entries):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_no_folder(tmp_path):
    with pytest.raises(CollectionDamaged, match="deephash train"):
        load_model(tmp_path / "nothing")


def test_not_json(saved):
    (saved / "model.json").write_text("{")
    with pytest.raises(CollectionDamaged, match="cannot be read"):
        load_model(saved)


def test_entries_missing(saved):
    (saved / "model.json").write_text("{}")
    with pytest.raises(CollectionDamaged, match="lacks class"):
        load_model(saved)


def test_newer_format(saved):
    change(saved, format_version=99)
    with pytest.raises(FormatTooNew, match="pip install --upgrade deephash"):
        load_model(saved)


@pytest.mark.parametrize("name", ["os.system", "HashModel", "load_model", "OrthoHach"])
def test_only_exported_methods_are_built(saved, name):
    change(saved, **{"class": name})
    with pytest.raises(UsageError, match="which is not one of"):
        load_model(saved)


def test_unknown_argument(saved):
    change(saved, init_args={"num_bits": 16, "num_classes": 3, "colour": "red"})
    with pytest.raises(CollectionDamaged, match=r"unknown entry 'colour' \(known: num_bits"):
        load_model(saved)


def test_other_weights(saved, tmp_path):
    OrthoHash(16, 3, Backbone("features:8", weights=None), target_seed=1).save(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(CollectionDamaged, match="is not the file"):
        load_model(saved)


def test_weights_missing(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(CollectionDamaged, match="cannot be read"):
        load_model(saved)


def test_tensors_that_do_not_fit(saved):
    args = json.loads((saved / "model.json").read_text())["init_args"]
    change(saved, init_args=args | {"num_bits": 8})
    with pytest.raises(CollectionDamaged, match="does not fit"):
        load_model(saved)


def test_saving_replaces_and_leaves_nothing_behind(saved, tmp_path):
    newer = OrthoHash(16, 3, Backbone("features:8", weights=None), target_seed=9)
    newer.save(saved)
    assert load_model(saved).fingerprint() == newer.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failing_save_keeps_the_older_model(saved, tmp_path, monkeypatch):
    before = load_model(saved).fingerprint()
    model = OrthoHash(16, 3, Backbone("features:8", weights=None), target_seed=9)
    monkeypatch.setattr(model, "fingerprint", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(saved)
    assert load_model(saved).fingerprint() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_crash_between_the_two_renames_is_mended(saved):
    saved.rename(saved.with_name(".model.old"))
    assert load_model(saved).num_bits == 16


def test_fingerprint_ignores_what_only_training_reads_and_defaults_written_out():
    torch.manual_seed(0)
    first = OrthoHash(16, 3, Backbone("features:8", weights=None))
    second = OrthoHash(16, 3, Backbone("features:8", weights=None), margin=0.2, optimizer=Optimizer(learning_rate=1.0))
    second.load_state_dict(first.state_dict())
    assert first.fingerprint() == second.fingerprint()
    third = OrthoHash(16, 3, Backbone("features:8", weights=None), nested=(8, 16))
    third.load_state_dict(first.state_dict())
    assert third.fingerprint() != first.fingerprint()


def test_arrays_as_arguments_are_refused():
    model = OrthoHash(16, 3, Backbone("features:8", weights=None))
    model.hparams["margin"] = torch.zeros(3)
    with pytest.raises(UsageError, match="plain JSON"):
        model.init_args()


class TestOptimizers:
    NETWORK = Backbone("small_cnn:2", weights=None, frozen=False, image_size=8)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("adam", torch.optim.Adam),
            ("adamw", torch.optim.AdamW),
            ("sgd", torch.optim.SGD),
            ("rmsprop", torch.optim.RMSprop),
        ],
    )
    def test_backbone_learns_slower(self, name, kind):
        plan = Optimizer(name, learning_rate=0.1, backbone_factor=0.01, milestones=())
        built = OrthoHash(16, 3, self.NETWORK, optimizer=plan).configure_optimizers()
        assert type(built) is kind
        assert [group["lr"] for group in built.param_groups] == [0.1, pytest.approx(0.001)]
        assert all(group["weight_decay"] == 5e-4 for group in built.param_groups)

    def test_frozen_backbone_is_in_no_group(self):
        backbone = Backbone("small_cnn:2", weights=None, image_size=8)
        built = OrthoHash(16, 3, backbone, optimizer=Optimizer(milestones=())).configure_optimizers()
        assert [group["name"] for group in built.param_groups] == ["new"]

    def test_schedule(self):
        built = OrthoHash(16, 3, self.NETWORK, optimizer=Optimizer(milestones=(2,), gamma=0.5)).configure_optimizers()
        rates = []
        for _ in range(3):
            built["optimizer"].step()
            built["lr_scheduler"]["scheduler"].step()
            rates.append(built["optimizer"].param_groups[0]["lr"])
        assert rates == [1e-4, 5e-5, 5e-5]
        assert built["lr_scheduler"]["interval"] == "epoch"

    def test_what_is_left_out_is_the_methods_own(self):
        own = DPSH(16, backbone=self.NETWORK).optimizer
        assert (own.name, own.learning_rate, own.momentum, own.backbone_factor) == ("rmsprop", 1e-5, 0.0, 1.0)
        partial = DPSH(16, backbone=self.NETWORK, optimizer=Optimizer(learning_rate=0.003))
        assert partial.optimizer == replace(own, learning_rate=0.003)
        built = partial.configure_optimizers()
        assert type(built) is torch.optim.RMSprop
        assert [group["lr"] for group in built.param_groups] == [0.003, 0.003]

    def test_what_is_left_out_is_the_presets_own(self):
        plan = HashNet(16, self.NETWORK, preset="deephash_pytorch", optimizer=Optimizer(weight_decay=0.0)).optimizer
        assert (plan.name, plan.learning_rate, plan.weight_decay) == ("rmsprop", 1e-5, 0.0)

    def test_every_gradient_method_lays_options_over_its_own(self):
        for name in deephash.models.__all__:
            cls = getattr(deephash.models, name)
            if isinstance(cls, type) and issubclass(cls, ObjectiveHashModel) and not inspect.isabstract(cls):
                needed = {"num_classes": 3} if "num_classes" in inspect.signature(cls).parameters else {}
                own = cls(16, **needed, **self._backbones(cls)).optimizer
                given = cls(16, **needed, **self._backbones(cls), optimizer=Optimizer(gamma=0.25)).optimizer
                assert given == replace(own, gamma=0.25), name
                assert None not in (given.name, given.learning_rate, given.milestones), name

    def _backbones(self, cls):
        names = [name for name in inspect.signature(cls).parameters if name.endswith("backbone")]
        maps = Backbone("timm-stages:test_resnet", weights=None, image_size=128)  # CSCE-Net reads stage maps
        return {name: maps if cls is CSCENet else Backbone("features:8", weights=None) for name in names}

    def test_the_saved_record_says_what_was_used(self, tmp_path):
        DPSH(16, backbone=self.NETWORK, optimizer=Optimizer(learning_rate=0.003)).save(tmp_path / "model")
        args = json.loads((tmp_path / "model" / "model.json").read_text())["init_args"]
        assert args["optimizer"]["name"] == "rmsprop"
        assert args["optimizer"]["learning_rate"] == 0.003

    def test_misspelt(self):
        with pytest.raises(UsageError, match="did you mean 'adam'"):
            OrthoHash(16, 3, self.NETWORK, optimizer=Optimizer("addam")).configure_optimizers()
