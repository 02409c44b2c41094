"""The installation that serves without torch, in a fresh virtual environment, by the steps and files of deploy/.

Packages come from uv's cache, which scripts/setup has filled, or from the index; with neither the test fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.paths import ROOT
from tests.tiny_clip import tiny_clip_model

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
HEAVY = ("torch", "torchvision", "timm", "open_clip", "lightning", "torchmetrics", "nvidia")
LACKING = "import sys, importlib.util as u; sys.exit(' '.join(n for n in sys.argv[1:] if u.find_spec(n)) or 0)"
OWN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*words, **settings):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=240, env=OWN, **settings)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the Dockerfile copies, and nothing else."""
    folder = tmp_path_factory.mktemp("source")
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.M):
        *given, target = line.split()
        for name in given:
            place = folder / name if target.startswith("./") else folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
    return folder


@pytest.fixture(scope="module")
def program(source, tmp_path_factory):
    """``deephash`` of the fresh environment."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "-q", "--python", sys.executable, place)
    install = (*uv, "pip", "install", "-q", "--python", place / "bin" / "python")
    run(*install, "-r", source / "deploy" / "requirements.txt")
    run(*install, "--no-deps", source)
    return place / "bin" / "deephash"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures, and a model of pictures and words that was saved where torch is."""
    made, draw = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    (made / "p").mkdir()
    for row in range(12):
        Image.fromarray(draw.integers(0, 256, (40, 40, 3), np.uint8)).save(made / "p" / f"{row:02}.png")
    tiny_clip_model().save(made / "clip")
    return made


@pytest.fixture(scope="module")
def collection(program, world):
    run(program, "index", world / "p", "--out", world / "x.dh", "--model", world / "clip", cwd=world)
    return world / "x.dh"


def test_there_is_no_torch_in_it(program):
    run(program.with_name("python"), "-c", LACKING, *HEAVY)


def test_it_indexes_and_searches_by_picture_words_and_id(program, world, collection):
    answer = run(program, "search", collection, world / "p" / "03.png", "--json")
    found = [json.loads(line) for line in answer.splitlines()]
    assert "03.png" in [Path(hit["path"]).name for hit in found if hit["distance"] == 0]
    assert len(run(program, "search", collection, "a photo of a cat", "--paths").splitlines()) == 10
    assert run(program, "search", collection, "id:3", "--paths").splitlines()[0].endswith("03.png")


def test_what_needs_torch_says_so_and_how_to_get_it(program, world, collection):
    words = [program, "search", collection, world / "p" / "03.png", "--engine", "torch"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=60, env=OWN)
    assert done.returncode == 2
    assert "torch is not installed" in done.stderr
    assert 'pip install "deephash[clip]"' in done.stderr


def started(program, collection) -> list[str]:
    """Return the start command of the image, on a free port that only this machine reaches."""
    (line,) = re.findall(r"^ENTRYPOINT (\[.+\])$", DOCKERFILE, flags=re.M)
    _, *words = json.loads(line)
    words[words.index("0.0.0.0")] = "127.0.0.1"
    return [str(program), *words, str(collection), "--port", "0", "--metrics"]


def test_the_start_command_of_the_image_serves_it(program, world, collection):
    with subprocess.Popen(
        started(program, collection), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=OWN
    ) as server:
        try:
            address = re.search(r"http://\S+/", server.stderr.readline()).group(0)
            with httpx.Client(base_url=address, timeout=60, transport=httpx.HTTPTransport(retries=3)) as client:
                assert "deephash" in client.get("/").text
                with (world / "p" / "05.png").open("rb") as file:
                    found = client.post("/api/search", files={"picture": file}).json()["hits"]
                assert found[0]["distance"] == 0
                assert client.post("/api/search", data={"text": "a cat"}).status_code == 200
                assert client.post("/api/add", files={"pictures": b"x"}).status_code in (400, 403), "read-only"
                assert 'kind="picture"' in client.get("/metrics").text
        finally:
            server.terminate()
            out, _ = server.communicate(timeout=30)
    assert [json.loads(line)["path"] for line in out.splitlines()][:2] == ["/", "/api/search"]
