"""Options read from the source are those that the classes take when they are imported."""

import inspect

import pytest
from lightning import Trainer

import deephash.data
import deephash.models
from deephash.backbones import spec
from deephash.cli.specs import KNOWN, network_families, training_free_words
from deephash.models import methods, training_free_methods
from deephash.training.signatures import exported, method_names, options_of, trainer_options


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


def test_training_free_names_are_those_of_the_methods():
    assert training_free_words() == sorted(training_free_methods())
    assert network_families() == list(spec._FAMILIES)
    assert {each.name.partition(":")[0] for each in KNOWN} <= set(training_free_words())
