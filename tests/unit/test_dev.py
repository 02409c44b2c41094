"""What the scripts of a checkout do, on any system."""

import subprocess
import sys

import pytest

from deephash import dev
from tests.paths import ROOT


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(dev, "_run", lambda *words, silent=False: lines.append(" ".join(words)))
    monkeypatch.setattr(dev, "_works", lambda *words: False)
    monkeypatch.chdir(ROOT)
    return lines


def test_it_needs_nothing_that_is_installed():
    words = [sys.executable, "-S", "-E", "-c", "import sys; sys.path.insert(0, '.'); import deephash.dev"]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0


def test_an_environment_is_made_from_nothing(said, monkeypatch, tmp_path):
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "PYTHON", tmp_path / "python")
    assert dev.main(["setup"]) == 0
    assert [line.partition("-m ")[2].split()[0] for line in said] == ["venv", "pip", "pip", "uv", "compileall"]
    assert "-c constraints.txt -e .[dev]" in said[3]
    said.clear()
    assert dev.main(["setup"]) == 0
    assert said == []  # nothing changed


def test_every_test_is_run_after_the_checks_and_some_without(said, monkeypatch, tmp_path):
    monkeypatch.setattr(dev, "setup", lambda *none: None)
    monkeypatch.setattr(dev.shutil, "which", lambda name: "/usr/bin/chromium")
    monkeypatch.setattr(dev.os, "cpu_count", lambda: 2)
    assert dev.main(["test"]) == 0
    assert "ruff check ." in said[0]
    assert said[-1].endswith("pytest -n 3 --dist loadfile")
    said.clear()
    assert dev.main(["test", "tests/unit", "-k", "codes"]) == 0
    assert [line.split("pytest")[1] for line in said] == [" -n 3 --dist loadfile tests/unit -k codes"]


def test_a_failure_is_the_status(monkeypatch, capsys):
    def failing(*words, silent=False):
        raise subprocess.CalledProcessError(3, words)

    monkeypatch.setattr(dev, "_run", failing)
    monkeypatch.setattr(dev, "setup", lambda *none: None)
    monkeypatch.chdir(ROOT)
    assert dev.main(["check"]) == 3
    assert dev.main(["tset"]) == 2
    assert "setup|check|test" in capsys.readouterr().err
