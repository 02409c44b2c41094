"""What several files of this folder need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.victims import Victims


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights lie here, and none can be fetched."""
    monkeypatch.setattr("deephash.cli.auto_model.hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("DEEPHASH_WEIGHTS", raising=False)


@pytest.fixture
def victims() -> Iterator[Victims]:
    started = Victims()
    yield started
    started.parent.stdin.close()
    assert started.parent.wait(60) == 0
    started.parent.stdout.close()
