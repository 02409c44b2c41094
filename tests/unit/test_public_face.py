"""The public names: all importable, none costing torch before it is used."""

import subprocess
import sys

import pytest

import deephash


@pytest.mark.parametrize("name", deephash.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(deephash, name) is not None


def test_listing_and_misspelling():
    assert set(deephash.__all__) <= set(dir(deephash))
    with pytest.raises(AttributeError, match="no attribute 'Colection'"):
        deephash.Colection  # noqa: B018


@pytest.mark.parametrize("names", ["BinaryCodes", "Collection", "open_index", "Searcher"])
def test_searching_and_scoring_do_not_import_torch(names):
    probe = f"import sys, deephash; deephash.{names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
