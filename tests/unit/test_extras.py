"""What is missing is named with the command that installs it, before any work; what is there is never called so."""

import re
import tomllib

import pytest

from deephash.cli.main import NEEDS, main
from deephash.errors import UsageError
from deephash.foreign import extras
from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
HEAVY = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "open-clip-torch", "gradio")
MODULES = {"open-clip-torch": "open_clip", "python-multipart": "multipart", "scikit-learn": "sklearn"}
INSTALLED = set(
    re.findall(
        r"[a-z]\w+",
        " ".join(
            each
            for group in ("all", "dev")
            for each in PROJECT["optional-dependencies"][group]
            if each.startswith("deephash[")
        ),
    )
)
MODULES |= {"scikit-image": "skimage", "prometheus-client": "prometheus_client"}


def packages(lines: list[str]) -> list[str]:
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines if not line.startswith("deephash[")]


def test_the_base_is_without_torch():
    assert not set(HEAVY) & set(packages(PROJECT["dependencies"]))


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_each_package_of_an_extra_is_known_by_its_module(extra):
    wanted = {MODULES.get(name, name) for name in packages(PROJECT["optional-dependencies"][extra])}
    assert wanted <= set(extras.EXTRAS[extra])
    assert extras.missing(extra) == [] or extra not in INSTALLED


@pytest.mark.parametrize("command", NEEDS)
def test_a_command_says_first_what_it_lacks(command, monkeypatch, capsys):
    extra, _ = NEEDS[command]
    lost = extras.EXTRAS[extra][0]
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == lost else name)
    assert main([command, "nothing-like-this"]) == 2
    said = capsys.readouterr().err
    assert f'needs {lost}: pip install "deephash[{extra}]"' in said
    assert "bug" not in said


def test_an_import_that_fails_later_is_no_bug_either(monkeypatch, capsys):
    def broken(*words):
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.setattr("deephash.cli.codes.COMMANDS", {"inspect": broken})
    assert main(["codes", "inspect"]) == 2
    assert 'this needs skimage, which is not installed: pip install "deephash[views]"' in capsys.readouterr().err


def test_a_failure_inside_an_installed_package_stays_one():
    assert extras.lacking(ImportError("cannot import name 'x'", name="numpy")) is None
    assert extras.lacking(ModuleNotFoundError("no module numpy.x", name="numpy.x")) is None


def test_how_to_do_without_is_said(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'a page needs gradio, .*deephash\[serve\]", or leave it out'):
        extras.require("serve", "a page", or_else=", or leave it out")
