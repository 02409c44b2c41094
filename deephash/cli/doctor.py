"""``deephash doctor``: is this installation sound?"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from deephash.cli.output import print_json
from deephash.foreign.extras import install
from deephash.version import __version__

PACKAGES = ["numpy", "faiss-cpu", "pylance", "pyarrow", "pillow", "onnxruntime", "numba", "torch", "torchvision"]
PACKAGES += ["timm", "open-clip-torch", "lightning", "scikit-learn", "gradio"]
_TRAINING = f"training, and models without a portable encoder, need it: {install('train')}"
OPTIONAL = dict.fromkeys(("torch", "torchvision", "timm", "lightning", "scikit-learn"), _TRAINING) | {
    "open-clip-torch": f"CLIP needs it: {install('clip')}",
    "gradio": f"the web page needs it: {install('serve')}",
    "onnxruntime": "encoding starts slowly without it, by torch",
    "numba": "searching is slower without it",
}


def doctor(*, json: bool = False) -> int:
    """Check versions, imports, the processor and the places deephash writes to.

    Args:
        json: print one JSON object instead of lines.
    """
    checks = {"deephash": (True, f"{__version__}, Python {platform.python_version()}, {platform.platform()}")}
    checks |= {package: _version(package) for package in PACKAGES}
    checks |= {name: _attempt(check) for name, check in CHECKS.items()}
    if json:
        print_json({name: {"ok": ok, "detail": detail} for name, (ok, detail) in checks.items()})
    else:
        for name, (ok, detail) in checks.items():
            print(f"{'ok ' if ok else 'BAD'}  {name:17} {detail}")
    return 0 if all(ok for ok, _ in checks.values()) else 1


def _version(package: str) -> tuple[bool, str]:
    try:
        return True, metadata.version(package)
    except metadata.PackageNotFoundError:
        hint = OPTIONAL.get(package)
        return bool(hint), f"not installed; {hint or f'pip install {package}'}"


def _attempt(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except Exception as error:  # a check that fails is a finding, whatever it raised
        return False, f"{type(error).__name__}: {error}"


def _torch_and_vision() -> str:
    if find_spec("torch") is None or find_spec("torchvision") is None:
        return "not installed, so portable encoders compute, on this processor"
    import torch
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)  # fails when the two come from different builds
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"torch and torchvision fit together; computing on {device}"


def _binary_search() -> str:
    import faiss
    import numpy as np

    codes = np.random.default_rng(0).integers(0, 256, (1000, 8), dtype=np.uint8)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    distances, rows = index.search(codes[:1], 1)
    if distances[0, 0] != 0 or rows[0, 0] != 0:
        raise RuntimeError("Faiss did not find a code that is in the index")
    return f"finds what it stores, {faiss.omp_get_max_threads()} threads"


def _openmp() -> str:
    if sys.platform == "darwin" and os.environ.get("KMP_DUPLICATE_LIB_OK") != "TRUE":
        raise RuntimeError("torch and faiss may load OpenMP twice on macOS; export KMP_DUPLICATE_LIB_OK=TRUE")
    return "one runtime expected on this system"


def _processor() -> str:
    import numpy as np

    found = cast("dict[str, Any]", np.show_config(mode="dicts")).get("SIMD Extensions", {})
    able = [*found.get("baseline", []), *found.get("found", [])]  # what NumPy asked the processor for, on any system
    return f"{os.cpu_count()} cores, {platform.machine()} {' '.join(able)}".strip()


def _writable() -> str:
    with tempfile.NamedTemporaryFile(dir=".") as file:
        return f"{Path(file.name).parent.resolve()} can be written"


CHECKS: dict[str, Callable[[], str]] = {
    "processor": _processor,
    "torch+torchvision": _torch_and_vision,
    "faiss": _binary_search,
    "openmp": _openmp,
    "this folder": _writable,
}
