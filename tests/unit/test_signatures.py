"""Options read from the source are those that the classes take when they are imported."""

import dataclasses
import inspect

import pytest
from lightning import Trainer

import deephash.data
import deephash.models
from deephash.backbones import spec
from deephash.cli.networks import networks_of, require_network
from deephash.cli.specs import KNOWN, network_families, training_free_words
from deephash.models import Optimizer, methods, training_free_methods
from deephash.training.signatures import exported, fields_of, method_names, options_of, trainer_options


def taken(cls):
    named = inspect.signature(cls.__init__).parameters.values()
    return {
        each.name for each in named if each.name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }


def test_methods_are_those_that_are_imported():
    assert method_names() == sorted(methods())


@pytest.mark.parametrize("name", sorted(methods()))
def test_options_of_a_method(name):
    assert options_of(name, "models") == taken(methods()[name])
    assert options_of(f"deephash.models.{name}", "models") == taken(methods()[name])


@pytest.mark.parametrize(
    "name", ["Digits", "PictureFolder", "Manifest", "FeatureFile", "Wiki", "Cifar10", "SemiPaired"]
)
def test_options_of_a_data_set(name):
    assert name in exported("data")
    assert options_of(name, "data") >= taken(getattr(deephash.data, name))


def test_options_of_the_trainer():
    assert trainer_options() == taken(Trainer)


def test_of_strangers_nothing_is_said():
    assert options_of("somebody.Else", "models") is None
    assert options_of("Nobody", "data") is None
    assert options_of("deephash.models.Optimizer", "models") is None  # a dataclass


@pytest.mark.parametrize("part", [spec.Backbone, Optimizer])
def test_fields_of_the_parts_of_a_model(part):
    assert fields_of(part.__module__, part.__name__) == {field.name for field in dataclasses.fields(part)}


def test_networks_are_those_that_the_packages_list():
    import open_clip
    import timm
    from torchvision import models

    assert networks_of("timm") >= set(timm.list_models())
    assert networks_of("torchvision") >= set(models.list_models(module=models))
    assert networks_of("open_clip") == set(open_clip.list_models())
    assert networks_of("somebody_elses") == frozenset()


@pytest.mark.parametrize("name", ["timm:resnet18.a1_in1k", "timm:vit_tiny_patch16_224?img_size=32", "small_cnn:8",
                                  "timm:gluon_resnet18_v1b", "torchvision:alexnet", "clip:ViT-B-32/openai",
                                  "clip:hf-hub:somebody/their-clip", "somebody:else", "features:64"])  # fmt: skip
def test_a_network_that_there_may_be_passes(name):
    require_network(name)


def test_training_free_names_are_those_of_the_methods():
    assert training_free_words() == sorted(training_free_methods())
    assert network_families() == list(spec._FAMILIES)
    assert {each.name.partition(":")[0] for each in KNOWN} <= set(training_free_words())
