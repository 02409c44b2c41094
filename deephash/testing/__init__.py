"""What every method, backbone, data set, attack and index promises, as classes for your tests to inherit.

::

    from deephash.testing import HashModelContract

    class TestMyHash(HashModelContract):
        def make_model(self, num_bits): ...
        def make_inputs(self, num_items): ...

deephash's own are held to the same. Needs pytest; nothing else of deephash imports this package.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from deephash.lazily import lazily

if find_spec("pytest") is None:
    raise ModuleNotFoundError("deephash.testing inherits its tests to yours, which pytest runs: pip install pytest")

import pytest

if TYPE_CHECKING:
    from deephash.testing.attacks import AttackContract as AttackContract
    from deephash.testing.backbones import BackboneContract as BackboneContract
    from deephash.testing.data_sets import DataModuleContract as DataModuleContract
    from deephash.testing.indexes import CodeIndexContract as CodeIndexContract
    from deephash.testing.methods import HashModelContract as HashModelContract

_HOME = {
    "AttackContract": "attacks",
    "BackboneContract": "backbones",
    "CodeIndexContract": "indexes",
    "DataModuleContract": "data_sets",
    "HashModelContract": "methods",
}
for _module in _HOME.values():  # before any of them is imported: then a failing assert shows what it compared
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

__all__ = [*_HOME]
__getattr__, __dir__ = lazily(__name__, _HOME)
