"""Every block of docs/extending.md runs, in its order, from an empty folder, as a user would type it."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.foreign.trust import TRUST
from tests.paths import ROOT

BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf8")
OWN = ("mymethod", "mynet", "mywords", "mydata", "myattack", "test_mymethod")


def forget():
    """What a new process would not know."""
    for name in OWN:
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setenv(TRUST, "")
    (tmp_path / "pictures").mkdir()
    for row in range(12):
        pixels = np.random.default_rng(row).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{row}.png")
    yield tmp_path
    forget()


def test_every_block_runs(folder, monkeypatch, capsys):
    kinds = []
    for kind, title, text in BLOCK.findall(PAGE):
        kinds.append(kind)
        if title:
            (folder / title).write_text(text)
        elif kind == "python":
            monkeypatch.syspath_prepend(folder)  # a script of the user's, beside the modules
            exec(compile(text, "docs/extending.md", "exec"), {})
        elif kind == "bash":
            for line in text.splitlines():
                monkeypatch.setenv(TRUST, "")
                monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
                forget()
                run(shlex.split(line), capsys)
    assert {"python", "bash", "yaml", "toml"} == set(kinds)
    assert (folder / "firsthash" / "firsthash.py").is_file()


def run(words, capsys):
    if words[0] == "pytest":
        done = subprocess.run([sys.executable, "-m", *words, "-q"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return
    assert words[0] == "deephash"
    code = main(words[1:])
    assert code == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"


def test_the_trust_that_the_page_asks_for_is_needed():
    asked = [line for line in PAGE.splitlines() if line.startswith(("deephash evaluate", "deephash attack"))]
    assert len(asked) >= 6
    assert all("--trust" in line for line in asked)
