"""The examples of docs/evaluation.md run, and the command beside them takes the files they write."""

import re

from deephash.cli.main import main
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "evaluation.md").read_text()


def test_the_examples_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(example, "docs/evaluation.md", "exec"), names)
    assert names["report"].figure("mAP@100 (min)").value < names["report"].headline.value
    assert (tmp_path / "report" / "pr_curve.png").is_file()
    capsys.readouterr()
    command = re.search(r"deephash (evaluate --query pictures.npz .*)", PAGE)[1]
    assert main(command.split()) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("hit@1 (pairs)")
