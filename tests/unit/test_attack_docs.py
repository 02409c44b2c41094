"""What docs/attacks.md shows runs, and what it names is there."""

import re

import torch

import deephash as dh
from deephash.attacks.catalogue import ATTACKS, RULES
from deephash.attacks.suite import SUITES
from deephash.backbones import Backbone
from deephash.models import OrthoHash
from tests.paths import ROOT

PAGE = (ROOT / "docs/attacks.md").read_text()


def test_the_python_of_the_page_runs(monkeypatch):
    torch.manual_seed(0)
    model = OrthoHash(64, 10, Backbone("small_cnn:2", None, frozen=False, image_size=224)).eval()
    monkeypatch.setattr(dh, "load_model", lambda path: model)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    names: dict[str, object] = {}
    exec(code.replace("steps=100", "steps=2"), names)
    assert names["attacked"].shape == (4, 3, 224, 224)


def test_every_attack_rule_and_suite_is_told():
    named = set(re.findall(r"`([a-z0-9-]+)`", PAGE))
    assert set(ATTACKS) <= named
    assert all(f"`{name}`" in PAGE or name in PAGE for name in RULES)
    assert all(name in PAGE for name in ("--suite standard",)), SUITES
