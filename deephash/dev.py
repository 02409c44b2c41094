"""``python -m deephash.dev setup|check|test``: what the scripts of a checkout do, on any system; needs Python alone.

``setup`` makes ``.venv`` and installs deephash with its tools into it, ``check`` looks at lint, types and floors,
``test`` does both, sees to a browser, and runs every test. Options of ``test`` go to pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PROGRAMS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = PROGRAMS / ("python.exe" if os.name == "nt" else "python")
PINS = ("pyproject.toml", "constraints.txt")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "deephash", "webui"),
    ("lint-imports",),
    ("python", "scripts/circles.py"),
    ("python", "scripts/picture.py", "--check"),
)


def main(words: Sequence[str]) -> int:
    """Run one of the three. Returns the exit status of what failed, or 0."""
    todo = {"setup": setup, "check": check, "test": test}
    if not words or words[0] not in todo:
        print(__doc__, file=sys.stderr)
        return 2
    os.chdir(ROOT)
    try:
        todo[words[0]](*words[1:])
    except subprocess.CalledProcessError as error:
        return error.returncode if error.returncode > 0 else 1
    except KeyboardInterrupt:
        return 130
    return 0


def setup(*none: str) -> None:
    """Make ``.venv`` and install into it; quick when nothing changed."""
    stamp = VENV / ".installed"
    if stamp.is_file() and all(stamp.stat().st_mtime >= (ROOT / name).stat().st_mtime for name in PINS):
        return
    print("deephash: installing into .venv (about a minute the first time)", file=sys.stderr)
    if not PYTHON.exists():
        _run(sys.executable, "-m", "venv", str(VENV))
    if not _works(str(PYTHON), "-m", "pip", "--version"):
        _run(sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "-q", "pip")
    if not _works(str(PYTHON), "-m", "uv", "--version"):
        _run(str(PYTHON), "-m", "pip", "install", "-q", "uv")
    install = ("-m", "uv", "pip", "install", "-q", "--compile-bytecode", "--python", str(PYTHON))
    _run(str(PYTHON), *install, "-c", "constraints.txt", "-e", ".[dev]")
    # where PYTHONDONTWRITEBYTECODE is set, every start would compile torch anew (20 s)
    _run(str(PYTHON), "-m", "compileall", "-q", "deephash", "webui")
    stamp.touch()


def check(*none: str) -> None:
    """Look at lint, format, types and floors."""
    setup()
    for program, *rest in CHECKS:
        _run(str(PYTHON if program == "python" else PROGRAMS / program), *rest)


def test(*words: str) -> None:
    """Install, see to a browser, check (where every test is to run), and run the tests."""
    setup()
    _install_browser()
    if not words:
        check()
    workers = str((os.cpu_count() or 1) + 1)  # half of the time browsers and servers are waited for
    _run(str(PROGRAMS / "pytest"), "-n", workers, "--dist", "loadfile", *words)


def _install_browser() -> None:
    if any(map(shutil.which, BROWSERS)) or shutil.which("apt-get") is None:
        return
    print("deephash: installing Chromium for the browser tests", file=sys.stderr)
    rights = () if os.getuid() == 0 else ("sudo",)  # type: ignore[attr-defined,unused-ignore]
    _run(*rights, "apt-get", "update", "-qq")
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive")
    _run(*rights, *quiet, "apt-get", "install", "-y", "-qq", "chromium", silent=True)


def _run(*words: str, silent: bool = False) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL if silent else None)


def _works(*words: str) -> bool:
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
