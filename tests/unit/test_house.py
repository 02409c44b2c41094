"""House rules that a machine can hold: sizes, live links, commands that exist, nothing of one machine."""

import ast
import re
import subprocess

import pytest

from deephash.cli.main import COMMANDS
from tests.paths import ROOT

TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
PYTHON = [name for name in TRACKED if name.endswith((".py", ".pyi")) and (ROOT / name).exists()]
PAGES = [name for name in TRACKED if name.endswith(".md") and (ROOT / name).exists()]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def test_the_lists_are_not_empty():
    assert len(PYTHON) > 100
    assert "README.md" in PAGES


def test_files_stay_readable():
    long = {name: lines for name in PYTHON if (lines := (ROOT / name).read_text().count("\n")) > 400}
    assert not long, f"files over 400 lines; give each idea its own file: {long}"


def test_functions_stay_readable():
    long = []
    for name in PYTHON:
        if name.startswith(("tests/", "benchmarks/")):
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                start = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                size = node.end_lineno - start.lineno + 1  # the body: a long list of typed options is a table, not code
                if size > 40:
                    long.append(f"{name}:{node.lineno} {node.name} ({size} lines)")
    assert not long, f"function bodies over 40 lines: {long}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    dead = [target for target in LINK.findall((ROOT / page).read_text()) if not (folder / target).exists()]
    assert not dead, f"{page} links to what is not there: {dead}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_pages_exist(page):
    named = re.findall(r"^\s*(?:\$ )?deephash (\w+)", (ROOT / page).read_text(), flags=re.M)
    unknown = set(named) - set(COMMANDS)
    assert not unknown, f"{page} shows commands that do not exist: {unknown}"


def test_nothing_of_one_machine_is_kept():
    machine = re.compile(r"(?<![\w/.])/(work|farm|root)/|https?://\S+(/simple\b|\.whl\b)")
    texts = [name for name in TRACKED if (ROOT / name).is_file() and not name.endswith((".png", ".npz", ".txt.gz"))]
    found = [name for name in texts if machine.search((ROOT / name).read_text(errors="ignore"))]
    own = "tests/unit/test_house.py"
    assert [name for name in found if name != own] == []
