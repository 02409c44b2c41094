"""Several servers over one collection: one may write, and all answer from what was committed last."""

import subprocess
import sys

import pytest
from deephash.webui.changes import changeable
from deephash.webui.workspace import Options, Workspace

from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.search import Part, Query
from tests.web.collections import random_collection

APPEND = """
import sys, numpy as np
from deephash.codes import BinaryCodes
from deephash.collection import Collection
codes = BinaryCodes(np.zeros((1, 8), np.uint8), 64)
print(Collection.open(sys.argv[1]).append(uris=["new.jpg"], codes=codes)[0])
"""


def nearest(server, item):
    return server.answer("x", Query.of(Part("item", ("x", item))), Options(k=24)).hits


def test_every_server_sees_what_another_process_committed(tmp_path):
    random_collection(tmp_path / "x.dh", 40)
    servers = [Workspace([tmp_path / "x.dh"], read_only=read_only) for read_only in (False, True)]
    for server in servers:
        assert len(nearest(server, 39)) == 24
        with pytest.raises(UsageError, match="no item 40"):
            nearest(server, 40)
    done = subprocess.run([sys.executable, "-c", APPEND, str(tmp_path / "x.dh")], capture_output=True, check=True)
    assert int(done.stdout) == 40
    for server in servers:
        assert nearest(server, 40)[0].uri == "new.jpg"
    Collection.open(changeable(servers[0], "x").searcher.path).remove([40])
    with pytest.raises(UsageError, match="read-only"):
        changeable(servers[1], "x")
    for server in servers:
        with pytest.raises(UsageError, match="no item 40"):
            nearest(server, 40)
