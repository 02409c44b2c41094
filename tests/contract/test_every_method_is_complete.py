"""A method is an export, a contract test, a configuration and a page; nothing is forgotten silently."""

import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import import_module

import pytest
import yaml

import deephash.models
from deephash.models import LSH, HashModel, baseline_methods, methods, training_free_methods
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


def contract_tests():
    """Return the methods that some test class makes, by what its ``make`` returns or names."""
    from deephash.testing.methods import HashModelContract

    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "HashModelContract" in path.read_text() or "ShallowContract" in path.read_text():
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return list(_below(HashModelContract))


def _below(cls):
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


@pytest.fixture(scope="module")
def tested():
    """Every method that an inheriting test class really builds."""
    built = set()
    for cls in contract_tests():
        if not inspect.isabstract(cls) and cls.__name__.startswith("Test"):
            built.add(type(cls().make_model(16)).__name__)
    return built


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_contract_test(name, module, tested):
    assert name in tested, f"add a test class for {name} that inherits deephash.testing.methods.HashModelContract"


def configured():
    """Return {class_path of the model: files} of every configuration."""
    found = {}
    for path in (ROOT / "configs").rglob("*.yaml"):
        model = (yaml.safe_load(path.read_text()) or {}).get("model", {})
        found.setdefault(str(model.get("class_path")).rpartition(".")[2], []).append(path.name)
    return found


CONFIGURED = configured()


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_configuration(name, module):
    assert name in CONFIGURED, f"add configs/{module}/<data>_<bits>.yaml for {name}"


@pytest.mark.parametrize(("name", "module"), METHODS)
def test_has_a_page(name, module):
    pages = [path.read_text() for path in (ROOT / "docs" / "methods").glob("*.md")]
    assert any(re.search(rf"`(deephash\.models\.)?{name}`", page) for page in pages), (
        f"add docs/methods/{module}.md about {name}, which names it in backticks"
    )


def test_facts_stand_on_the_class():
    assert set(training_free_methods()) == {"clip", "hashing_baseline", "itq", "lsh", "pca_sign"}
    assert [cls.__name__ for cls in baseline_methods()] == ["LSH", "PCASign", "ITQ"]


def test_a_method_below_another_has_no_word_of_its_own():
    program = (
        "from deephash.models import ITQ, LSH, training_free_methods\n"
        "type('Bold', (LSH,), {'__module__': 'deephash.models.bold'})\n"
        "assert training_free_methods()['lsh'] is LSH and training_free_methods()['itq'] is ITQ"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_class_of_somebody_else_is_no_method():
    class Foreign(LSH):
        """Defined outside the package; a model folder that names it is refused."""

    assert Foreign.__name__ not in methods()
    assert sorted(methods()) == [name for name, _ in METHODS]
