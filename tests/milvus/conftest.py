"""A real Milvus server for the tests of this folder: one a file, which it ends with (idle it takes half a core)."""

import contextlib
import itertools

import pytest

from tests.milvus.server import Server

_names = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with contextlib.closing(Server(tmp_path_factory.mktemp("milvus"))) as started:
        yield started


@pytest.fixture
def address(server):
    """A table of its own for each test."""
    return f"milvus:{server.uri}/t{next(_names)}"
