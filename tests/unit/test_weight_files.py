"""Weight files of other programs: wrappers around names come off, diverged weights do not get in."""

import pytest
import torch

from deephash.backbones import Backbone
from deephash.errors import UsageError

FRESH = Backbone("small_cnn:2", None).build()
STATE = FRESH.network.state_dict()


def built(path):
    return Backbone("small_cnn:2", str(path)).build()


def is_same(encoder):
    return all(torch.equal(encoder.network.state_dict()[key], value) for key, value in STATE.items())


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod.", "model.net.backbone.", "a.b."],
)
def test_what_wraps_the_names_comes_off(tmp_path, prefix):
    torch.save({prefix + key: value for key, value in STATE.items()}, tmp_path / "w.pth")
    assert is_same(built(tmp_path / "w.pth"))


@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema"])
def test_checkpoints_keep_the_state_dict_under_many_names(tmp_path, container):
    wrapped = {"model." + key: value for key, value in STATE.items()}
    torch.save({container: wrapped, "epoch": 3, "optimizer": {"state": {}}}, tmp_path / "w.pth")
    assert is_same(built(tmp_path / "w.pth"))


def test_averaged_weights_go_first(tmp_path):
    other = {key: torch.ones_like(value) for key, value in STATE.items()}
    torch.save({"state_dict": other, "state_dict_ema": STATE}, tmp_path / "w.pth")
    assert is_same(built(tmp_path / "w.pth"))


def test_a_head_beside_the_backbone_is_left_out(tmp_path):
    wrapped = {"backbone." + key: value for key, value in STATE.items()} | {"head.weight": torch.zeros(2, 2)}
    torch.save(wrapped, tmp_path / "w.pth")
    assert is_same(built(tmp_path / "w.pth"))


def test_a_part_that_is_wrapped_is_not_taken_for_all(tmp_path):
    keys = list(STATE)
    mixed = {("model." if key == keys[0] else "") + key: value for key, value in STATE.items()}
    torch.save(mixed, tmp_path / "w.pth")
    with pytest.raises(
        UsageError,
        match=f"1 of 25 tensors differ, first {keys[0]} is missing, the nearest name in the file is model.{keys[0]}",
    ):
        built(tmp_path / "w.pth")


def test_two_networks_in_one_file_are_a_question(tmp_path):
    student = {"student." + key: value for key, value in STATE.items()}
    teacher = {"teacher." + key: value + 1 for key, value in STATE.items()}
    torch.save(student | teacher, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"several networks that fit, below 'student\.', 'teacher\.'"):
        built(tmp_path / "w.pth")
    torch.save(student | {"copy." + key: value for key, value in STATE.items()}, tmp_path / "same.pth")
    assert is_same(built(tmp_path / "same.pth"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_diverged_weights_are_refused(tmp_path, value):
    broken = {key: tensor.clone() for key, tensor in STATE.items()}
    first = next(key for key, tensor in broken.items() if tensor.is_floating_point())
    broken[first] = torch.full_like(broken[first], value)
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=f"hold NaN or infinity, first {first}"):
        built(tmp_path / "w.pth")
