"""What somebody gets who installs a wheel, not a checkout: every package, the configurations, the page's files."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.paths import ROOT

SHIPPED = {
    "deephash": ["*.py", "py.typed", "splits/*", "schemas/*", "templates/*/*"],
    "webui": ["*.py", "*.css", "*.js", "*.html", "*.png"],
    "configs": ["*.yaml"],
}
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import deephash
from deephash.training.configurations import find_config, shipped_configs
from deephash.cli.main import main
from deephash.data.facts import known_splits
assert deephash.__file__.startswith(sys.argv[1]), deephash.__file__
assert find_config("orthohash/digits_64").is_relative_to(sys.argv[1])
assert known_splits()
print(len(shipped_configs()))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def unpacked(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    build = f"import setuptools.build_meta as b; b.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "deephash.configs" not in done.stderr, "setuptools does not know the folders of configurations"
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


def test_every_shipped_file_is_inside(source, unpacked):
    for folder, patterns in SHIPPED.items():
        inside = unpacked / "deephash" / ("" if folder == "deephash" else folder)
        files = {file.relative_to(source / folder) for pattern in patterns for file in (source / folder).rglob(pattern)}
        lacking = [str(file) for file in files if not (inside / file).is_file()]
        assert files
        assert not lacking


def test_it_runs_away_from_the_checkout(source, unpacked, tmp_path):
    probe = [sys.executable, "-P", "-c", PROBE, str(unpacked)]
    done = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(list((source / "configs").rglob("*.yaml")))
