"""``deephash new`` writes what runs at once: its test passes, its configuration trains, its commands are right."""

import json
import os
import re
import subprocess
import sys

import pytest

from deephash.cli.main import main
from deephash.foreign.trust import TRUST

KINDS = ("method", "backbone", "data", "attack")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    before = os.getcwd()
    os.chdir(folder)
    try:
        for kind in KINDS:
            assert main(["new", kind, f"my_{kind}"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def inside(made, monkeypatch):
    """Go into a skeleton's folder, where nobody is trusted; its module is forgotten afterwards."""
    monkeypatch.setenv(TRUST, "")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = set(sys.modules)
    yield lambda kind: monkeypatch.chdir(made / f"my_{kind}")
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def commands(made, kind):
    """Return the commands of a skeleton's README, without remarks."""
    block = re.search(r"```bash\n(.*?)```", (made / f"my_{kind}" / "README.md").read_text(), re.DOTALL)[1]
    return [line.partition("#")[0].split() for line in block.splitlines()]


@pytest.mark.timeout(600)
def test_the_tests_of_all_skeletons_pass(made):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error::pytest.PytestWarning", "."],
        cwd=made, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_its_readme_run(kind, made, inside, capsys):
    inside(kind)
    first, *others = commands(made, kind)
    assert first == ["pytest"]
    for words in others:
        assert words[0] == "deephash"
        quick = ["--fast-dev-run"] if words[1] == "train" else ["--queries", "4"] if words[1] == "attack" else []
        assert main([*words[1:], *quick]) == 0, capsys.readouterr().err
    run = made / f"my_{kind}" / "runs"
    record = json.loads(next(run.glob("*/model/model.json")).read_text())
    named = {"method": record["class"], "backbone": record["init_args"]["backbone"]["name"]}.get(kind)
    assert named in (None, f"my_{kind}.My{kind.title()}")


def test_a_configuration_alone_runs_no_module(made, inside, capsys):
    inside("method")
    assert main(["train", "--config", "config.yaml"]) == 2
    assert "--trust my_method" in capsys.readouterr().err
    assert "my_method" not in sys.modules


@pytest.mark.parametrize(
    "name", ["class", "1x", "my-hash", "my hash", "../x", "_x", "torch", "json", "deephash", "größe"]
)
def test_names_that_cannot_be(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "method", name]) == 2
    assert "choose another" in (said := capsys.readouterr().err) or "cannot name a module" in said
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert main(["new", "data", "mine"]) == 2
    assert "nothing in it is overwritten" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []
