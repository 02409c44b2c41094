"""What every command shares: help, did-you-mean, exit codes, no tracebacks."""

import json
import subprocess
import sys

import pytest

from deephash.cli import main as front
from deephash.cli.main import COMMANDS, main
from deephash.errors import CollectionError, DataError, UsageError
from tests.e2e.cli import deephash


def test_overview_is_ten_lines_with_examples():
    result = deephash()
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) <= 12
    assert result.stdout.count("deephash ") >= 6


def test_help_lists_every_command_without_importing_torch():
    result = deephash("--help")
    assert all(f"  {name} " in result.stdout for name in COMMANDS)
    probe = "import sys; from deephash.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_explains_itself(command):
    result = deephash(command, "--help")
    assert result.returncode == 0, result.stderr
    assert "deephash" in result.stdout
    assert "Traceback" not in result.stderr


def test_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "deephash", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, deephash("--version").stdout)
    wrong = subprocess.run([sys.executable, "-m", "deephash", "serch"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "did you mean 'search'" in wrong.stderr


def test_version_names_the_code_format():
    assert "code format 1" in deephash("--version").stdout


def test_misspelt_command_and_option():
    result = deephash("serch", "x.dh")
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean 'search'" in result.stderr
    result = deephash("doctor", "--jsn")
    assert result.returncode == 2
    assert "Did you mean --json" in result.stderr


def test_doctor_reports_as_json():
    result = deephash("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.returncode == 0, report
    assert report["faiss"]["ok"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (DataError("d"), 3),
        (CollectionError("c"), 4),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device", "here"), 3),
        (MemoryError(), 1),
        (RuntimeError("surprise"), 1),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(error, code, monkeypatch, capsys):
    def fail(words):
        raise error

    monkeypatch.setattr(front, "_dispatch", fail)
    assert main(["search"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("deephash: ")
    assert "Traceback" not in captured.err


def test_traceback_on_request(monkeypatch):
    def fail(words):
        raise RuntimeError("surprise")

    monkeypatch.setattr(front, "_dispatch", fail)
    monkeypatch.setenv("DEEPHASH_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="surprise"):
        main(["search"])
