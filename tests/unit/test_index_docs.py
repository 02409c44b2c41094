"""The example on the page about the search engine runs."""

import re
from pathlib import Path


def test_example_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "index.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope: dict = {}
    exec(example, scope)
    assert scope["found"].ids.shape == (3, 5)
    assert (scope["found"].distances[:, 0] == 0).all()
    assert set(scope["some"].ids.ravel() % 7) == {0}
    assert "scan: exact" in capsys.readouterr().out
