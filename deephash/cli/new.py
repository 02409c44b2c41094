"""``deephash new``: a method, backbone, data set or attack of one's own that runs, with its test, to be changed."""

from __future__ import annotations

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template

from deephash.errors import UsageError

_FILES = {"module": "{name}.py", "test": "test_{name}.py", "config": "config.yaml", "readme": "README.md"}


def method(name: str, /) -> None:
    """Write a hashing method of your own that trains, with its test, into the folder NAME.

    $ deephash new method myhash && cd myhash && pytest

    Args:
        name: of the folder and the module: a Python name, such as myhash.
    """
    write("method", name)


def backbone(name: str, /) -> None:
    """Write a network of your own below any method, with its test, into the folder NAME.

    $ deephash new backbone mynet && cd mynet && pytest

    Args:
        name: of the folder and the module: a Python name, such as mynet.
    """
    write("backbone", name)


def data(name: str, /) -> None:
    """Write a data set of your own, with its test, into the folder NAME.

    $ deephash new data mydata && cd mydata && pytest

    Args:
        name: of the folder and the module: a Python name, such as mydata.
    """
    write("data", name)


def attack(name: str, /) -> None:
    """Write an attack of your own, with its test, into the folder NAME.

    $ deephash new attack myattack && cd myattack && pytest

    Args:
        name: of the folder and the module: a Python name, such as myattack.
    """
    write("attack", name)


def write(kind: str, name: str) -> Path:
    """Write the skeleton of a kind into the folder ``name`` of the working folder, and say what to run.

    Raises:
        UsageError: no name of a module, one that is taken, or a folder that is there.
    """
    _require_free(name)
    folder, cls = Path(name), "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    if folder.exists():
        raise UsageError(f"{folder.resolve()} is there already, and nothing in it is overwritten; choose another name")
    folder.mkdir()
    for source, target in _FILES.items():
        text = (Path(__file__).with_name("templates") / kind / f"{source}.txt").read_text(encoding="utf8")
        made = Template(text).substitute(name=name, cls=cls)
        (folder / target.format(name=name)).write_text(made, encoding="utf8")
    commands = (folder / "README.md").read_text(encoding="utf8").split("```bash\n")[1].split("```")[0]
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}\nnext:\n  cd {folder}")
    print("".join(f"  {line}\n" for line in commands.splitlines()), end="")
    return folder


def _require_free(name: str) -> None:
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name) or name.startswith("_"):
        near = "".join(letter if letter.isalnum() else "_" for letter in name).strip("_").lower()
        hint = f"; perhaps {near}" if near.isidentifier() and not keyword.iskeyword(near) else ""
        raise UsageError(f"{name!r} cannot name a module: letters, digits and _ make one, such as my_hash{hint}")
    if name in sys.stdlib_module_names or (not Path(name).exists() and find_spec(name) is not None):
        raise UsageError(f"an installed module is called {name!r}, and would hide yours; choose another, as my_{name}")


COMMANDS = {"method": method, "backbone": backbone, "data": data, "attack": attack}
