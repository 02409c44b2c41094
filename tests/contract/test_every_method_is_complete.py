"""A method is an export, a contract test, a configuration and a page; nothing is forgotten silently."""

import inspect
import pkgutil
from importlib import import_module

import pytest

import deephash.models
from deephash.models import HashModel
from tests.paths import ROOT


def concrete_models():
    found = {}
    for info in pkgutil.iter_modules(deephash.models.__path__):
        module = import_module(f"deephash.models.{info.name}")
        for name, cls in vars(module).items():
            own = inspect.isclass(cls) and cls.__module__ == module.__name__
            if own and issubclass(cls, HashModel) and not inspect.isabstract(cls) and not name.startswith("_"):
                found[name] = info.name
    return sorted(found.items())


METHODS = concrete_models()


def test_methods_are_found():
    assert {"OrthoHash", "ITQ", "PCASign", "LSH"} <= {name for name, _ in METHODS}


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_exported(name, module):
    assert name in deephash.models.__all__, f"add {name} to deephash/models/__init__.py"


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_contract_test(name, module):
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    assert any("HashModelContract)" in text and name in text for text in texts), (
        f"add a test class for {name} that inherits tests.contract.model_contract.HashModelContract"
    )


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_configuration(name, module):
    texts = [path.read_text() for path in (ROOT / "configs").rglob("*.yaml")]
    assert any(f"deephash.models.{name}\n" in text for text in texts), (
        f"add configs/{module}/<data>_<bits>.yaml for {name}"
    )


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_page(name, module):
    pages = [path.read_text() for path in (ROOT / "docs" / "methods").glob("*.md")]
    assert any(name in page for page in pages), f"add docs/methods/{module}.md about {name}"
