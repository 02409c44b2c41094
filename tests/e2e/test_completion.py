"""The Tab key knows every command and its options."""

import subprocess

import pytest

from deephash.cli.completion import every_command
from deephash.cli.main import COMMANDS, main

TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _deephash; printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "deephash.bash"
    path.write_text(every_command().generate_completion(prog_name="deephash", shell="bash"))
    return path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["deephash", ""], set(COMMANDS)),
        (["deephash", "sea"], {"search"}),
        (["deephash", "collection", "ver"], {"verify", "versions"}),
        (["deephash", "search", "x.dh", "--max-d"], {"--max-distance"}),
        (["deephash", "train", "--back"], {"--backbone"}),
    ],
)
def test_bash_completes(script, words, wanted):
    done = subprocess.run(["bash", "-c", TAB, "tab", str(script), *words], capture_output=True, text=True, check=True)
    found = {line.strip() for line in done.stdout.splitlines()}
    assert wanted <= found
    assert words[-1] == "" or all(word.startswith(words[-1]) for word in found)


def test_the_command_prints_it(capsys):
    assert main(["completion", "fish"]) == 0
    assert "complete -c deephash" in capsys.readouterr().out
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
