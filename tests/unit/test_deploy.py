"""Files for those who serve a collection to others: they name what is there, and options that exist."""

import inspect
import json
import re
import shutil
import subprocess
import sys

import pytest

from deephash.cli.serve import serve
from tests.paths import ROOT

DEPLOY = ROOT / "deploy"
OPTIONS = {"--" + name.replace("_", "-") for name in inspect.signature(serve).parameters}


def test_the_requirements_are_those_of_the_project_without_torch():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "requirements", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_requirements_name_no_index_and_no_machine():
    text = (DEPLOY / "requirements.txt").read_text()
    assert "onnxruntime==" in text
    assert not re.search(r"://|--|file:", text.split("\n", 1)[1])


@pytest.mark.parametrize(("broken", "said"), [
    (lambda text: text + "torch==2.0\n", "has torch"),
    (lambda text: re.sub(r"gradio==.*\n", "", text), "lacks gradio"),
    (lambda text: re.sub(r"numpy==.*", "numpy==1.0", text), "another version than constraints.txt: numpy==1.0"),
])  # fmt: skip
def test_requirements_that_fell_behind_are_found(tmp_path, broken, said):
    for name in ("pyproject.toml", "constraints.txt", "scripts/requirements", "deploy/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    written = tmp_path / "deploy" / "requirements.txt"
    written.write_text(broken(written.read_text()))
    done = subprocess.run(
        [sys.executable, tmp_path / "scripts/requirements", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert said in done.stderr


def test_the_image_copies_what_exists_and_starts_with_options_that_exist():
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.M):
        lacking = [name for name in line.split()[:-1] if not (ROOT / name).exists()]
        assert not lacking
    (line,) = re.findall(r"^ENTRYPOINT (\[.+\])$", text, flags=re.M)
    assert {word for word in json.loads(line) if word.startswith("--")} <= OPTIONS


def test_the_unit_starts_with_options_that_exist():
    (line,) = re.findall(r"^ExecStart=(.+)$", (DEPLOY / "deephash.service").read_text(), flags=re.M)
    assert {word for word in line.split() if word.startswith("--")} <= OPTIONS


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "deephash.service"
    text = (DEPLOY / "deephash.service").read_text()
    unit.write_text(text.replace("/opt/deephash/bin/deephash", sys.executable))  # which is there
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
