"""The raw requests of ``scripts/probe_page``, as a module, so that the tests and the script try the same."""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "probe_page"


def load():
    """Return the script as a module; it has no ending that Python would import."""
    loader = SourceFileLoader("probe_page", str(SCRIPT))
    spec = spec_from_loader("probe_page", loader)
    module = module_from_spec(spec)
    sys.modules["probe_page"] = module  # its dataclasses look their types up there
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module
