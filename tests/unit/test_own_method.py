"""A method that could not be loaded again is refused before it is trained for hours."""

import json
import os

import pytest
import torch
from torch import nn

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.foreign.trust import TRUST
from deephash.models import HeadHashModel, load_model
from deephash.models.loading import require_loadable
from deephash.training.own_code import named_classes, require_trusted, trust_words

VECTORS = Backbone("features:8", weights=None)


class Mine(HeadHashModel):
    """A method of somebody else."""

    def __init__(self, num_bits: int, backbone: Backbone = VECTORS, lengths: tuple[int, ...] = (1, 2)) -> None:
        super().__init__(num_bits, backbone)
        self.save_hyperparameters()
        self.head = nn.Linear(8, num_bits)

    def code_losses(self, codes, features, batch):
        return {"size": codes.square().mean()}


class Forgetful(Mine):
    def __init__(self, num_bits: int) -> None:
        HeadHashModel.__init__(self, num_bits, VECTORS)
        self.head = nn.Linear(8, num_bits)


class Greedy(Mine):
    def __init__(self, num_bits: int, **others) -> None:
        super().__init__(num_bits)
        self.save_hyperparameters()


class WithArray(Mine):
    def __init__(self, num_bits: int, centres: torch.Tensor = torch.zeros(3)) -> None:  # noqa: B008
        super().__init__(num_bits)
        self.save_hyperparameters()


class Untrue(Mine):
    def __init__(self, num_bits: int, margin: int = 1) -> None:
        super().__init__(num_bits)
        self.save_hyperparameters()
        self.hparams["margin"] = "wide"


def test_one_that_keeps_its_arguments_is_taken_and_comes_back(tmp_path):
    model = Mine(16, lengths=(4, 8)).eval()
    require_loadable(model)
    model.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "model.json").read_text())["class"] == f"{__name__}.Mine"
    loaded = load_model(tmp_path / "model", trusted=[__name__])
    assert type(loaded) is Mine
    assert loaded.hparams["lengths"] == (4, 8)


@pytest.mark.parametrize(("cls", "says"), [
    (Forgetful, r"does not keep its argument 'num_bits': call self\.save_hyperparameters"),
    (Greedy, r"write its arguments out"), (WithArray, "must be plain JSON"), (Untrue, "annotate the argument"),
])  # fmt: skip
def test_one_that_does_not_is_refused(cls, says):
    with pytest.raises(UsageError, match=says):
        require_loadable(cls(16))


def test_one_inside_a_function_is_refused():
    class Inner(Mine):
        """Nobody could find it again."""

    with pytest.raises(UsageError, match="at the top of a module"):
        require_loadable(Inner(16))


def test_a_backbone_without_its_annotation_is_refused():
    with pytest.raises(UsageError, match="annotate the argument of __init__ with Backbone"):
        Mine(16, {"name": "features:8"})


def test_words_that_somebody_types_are_trusted(monkeypatch):
    monkeypatch.setenv(TRUST, "")
    words = ["--model", "a.X", "--data.class_path=b.c.Y", "--model.init_args.text_backbone.name=d.Z",
             "--trainer.callbacks+=e.W", "--model.init_args.margin=f.1", "--trainer.logger=lightning.x.Y"]  # fmt: skip
    trust_words(words, "g.V")
    assert os.environ[TRUST].split(",") == ["a", "b.c", "d", "e", "g"]


def test_what_a_configuration_names():
    content = {
        "model": {"class_path": "a.X", "init_args": {"backbones": {"image": {"name": "b.Y"}}, "name": "c.Z"}},
        "trainer": {"callbacks": [{"class_path": "d.W"}, "e.V"], "name": "f.U"},
        "data": {"init_args": {"inner": [{"class_path": "g.T"}], "root": "h.S"}},
    }
    assert [path for _, path in named_classes(content)] == ["a.X", "b.Y", "d.W", "e.V", "g.T"]


@pytest.mark.parametrize(
    "trainer",
    [
        {"profiler": "turtledemo.clock"},
        {"plugins": ["turtledemo.clock"]},
        {"strategy": "turtledemo.clock"},
        {"callbacks": [{"class_path": "lightning.pytorch.callbacks.LambdaCallback",
                        "init_args": {"on_fit_start": "turtledemo.clock.main"}}]},
        {"callbacks": [{"class_path": "lightning.pytorch.callbacks.LambdaCallback",
                        "init_args": {"on_fit_start": "torch.hub.load"}}]},
    ],
)  # fmt: skip
def test_a_configuration_of_somebody_else_imports_and_calls_nothing_through_the_trainer(trainer):
    with pytest.raises(UsageError, match=r"--trust turtledemo|a file does not decide"):
        require_trusted({"trainer": trainer}, "theirs.yaml")


def test_what_configurations_say_to_a_trainer_is_taken():
    named = {"filename": "best.ckpt", "monitor": "validation/mAP", "dirpath": "runs.old"}
    callbacks = [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": named}]
    trainer = {"precision": "bf16-mixed", "strategy": "ddp", "callbacks": callbacks, "accelerator": "cpu"}
    require_trusted({"trainer": trainer | {"profiler": "lightning.pytorch.profilers.SimpleProfiler"}}, "mine.yaml")
