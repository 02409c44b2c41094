"""What each command may import: a start is as slow as the heaviest module that it drags in."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.ingest import index_folder
from tests.e2e.collection_child import tiny_model

HEAVY = ("torch", "torchvision", "lightning", "timm", "torchmetrics", "open_clip", "sklearn", "matplotlib", "gradio",
         "numba", "scipy", "faiss", "lance", "onnxruntime", "pyarrow", "pandas")  # fmt: skip
PROBE = f"""
import contextlib, io, json, sys
from deephash.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made, draw = tmp_path_factory.mktemp("diet"), np.random.default_rng(0)
    (made / "p").mkdir()
    for row in range(8):
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(made / "p" / f"{row}.png")
    index_folder(made / "p", made / "x.dh", tiny_model())
    BinaryCodes.from_bits(draw.integers(0, 2, (40, 16))).save(made / "q.npz", labels=np.arange(40) % 4)
    return made


@pytest.mark.parametrize(("words", "allowed"), [
    (["--version"], set()),
    (["codes", "inspect", "{q}"], set()),
    (["evaluate", "--query", "{q}", "--database", "{q}"], {"lance", "pyarrow"}),
    (["collection", "info", "{x}"], {"lance", "pyarrow"}),
    (["search", "{x}", "id:3"], {"lance", "pyarrow", "faiss"}),
    (["search", "{x}", "{picture}"], {"lance", "pyarrow", "faiss", "onnxruntime"}),
    (["dedup", "{x}"], {"lance", "pyarrow", "faiss", "numba", "scipy"}),
    (["encode", "{p}", "--out", "{codes}", "--model", "{x}"], {"lance", "pyarrow", "onnxruntime", "scipy"}),
    (["index", "{p}", "--out", "{x}"], {"lance", "pyarrow"}),  # nothing is new
])  # fmt: skip
def test_a_command_imports_no_more_than_this(world, words, allowed):
    places = {"q": world / "q.npz", "x": world / "x.dh", "p": world / "p", "picture": world / "p" / "3.png"}
    places["codes"] = world / "made.npz"
    asked = [word.format(**places) for word in words]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *asked], capture_output=True, text=True, timeout=120, check=True
    )
    code, imported = json.loads(done.stdout.splitlines()[-1])
    assert code in (0, 1), done.stderr  # 1: no copies were found
    assert set(imported) <= allowed
