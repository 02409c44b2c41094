"""Names of networks in timm, torchvision and open_clip, read from their files: to import these takes ten seconds."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from deephash.errors import UsageError, did_you_mean

LEAST = 20  # names, below which a package looks otherwise than was thought, and nothing is judged
_MADE = re.compile(r"^@register_model\b(?:\(.*?\))?.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)
_RENAMED = re.compile(r"^    ['\"](\w+)['\"]: ", re.MULTILINE)


def require_network(network: str) -> None:
    """Refuse ``timm:NAME``, ``torchvision:NAME`` or ``ARCHITECTURE/TAG`` of CLIP where the package has no such name.

    A name that cannot be judged from files passes; building the network then tells.

    Raises:
        UsageError: with the names that are near.
    """
    family, _, rest = network.partition(":")
    package = {"timm": "timm", "timm-stages": "timm", "torchvision": "torchvision", "clip": "open_clip"}.get(family)
    if package is None or not rest or rest.startswith("hf-hub:"):
        return
    name = rest.partition("/")[0] if package == "open_clip" else rest.partition("?")[0].partition(".")[0]
    known = networks_of(package)
    if len(known) < LEAST or name in known:
        return
    near = get_close_matches(name, sorted(known), n=5, cutoff=0.3)
    what = "architecture" if package == "open_clip" else "network"
    raise UsageError(f"{package} has no {what} {name!r}{did_you_mean(name, near)}")


@cache
def networks_of(package: str) -> frozenset[str]:
    """Return the names of the networks of a package that is installed; none where it is not."""
    found = find_spec(package)  # of a package without a dot nothing is imported
    folder = Path(next(iter((found.submodule_search_locations or []) if found else []), ""))
    if package == "open_clip":
        return frozenset(file.stem for file in (folder / "model_configs").glob("*.json"))
    names: set[str] = set()
    for file in (folder / "models").glob("*.py") if found else ():
        text = file.read_text(encoding="utf8", errors="replace")
        names.update(_MADE.findall(text))
        if "register_model_deprecations" in text:
            names.update(_RENAMED.findall(text))
    return frozenset(names)
