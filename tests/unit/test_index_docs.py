"""The examples on the page about the search engine run."""

import re
from pathlib import Path


def test_examples_run(capsys):
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    example, windows = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope: dict = {}
    exec(example, scope)
    assert scope["found"].ids.shape == (3, 5)
    assert (scope["found"].distances[:, 0] == 0).all()
    assert set(scope["some"].ids.ravel() % 7) == {0}
    assert "scan: exact" in capsys.readouterr().out
    exec(windows, scope)
    assert scope["found"].ids.shape == (3, 5)
    assert set(scope["years"][scope["found"].ids.ravel()]) <= {2019, 2020, 2021}
    assert capsys.readouterr().out.startswith("rows ")
