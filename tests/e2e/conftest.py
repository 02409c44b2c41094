"""What several files of this folder need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.victims import Victims


@pytest.fixture
def victims() -> Iterator[Victims]:
    started = Victims()
    yield started
    started.parent.stdin.close()
    assert started.parent.wait(60) == 0
    started.parent.stdout.close()
