"""10,000 damaged files and 3,000 odd EXIF blocks: a picture or one sentence, never anything else, in little memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from deephash.errors import UnreadablePicture
from deephash.pictures import read_picture
from tests.paths import ROOT
from tests.property.picture_fuzz import damaged, every_format, jpeg_with_exif, odd_exif

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns of what it finds odd in a file

DAMAGED, EXIF_BLOCKS = 10_000, 3_000
LIMIT_MIB, SLOWEST = 32, 5.0


def read_damaged(count: int) -> dict[str, float]:
    """Read ``count`` damaged files; return what was met. Runs in a process of its own, whose memory is measured."""
    import resource

    draw, files = random.Random(0), every_format()
    names, others = list(files), list(files.values())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    met: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        whole = files[names[number % len(names)]]
        data = damaged(whole, draw, others) if number % 20 else draw.randbytes(draw.randrange(400))
        started = time.perf_counter()
        try:
            picture, facts = read_picture(data, reduced_to=8)
            met["pictures"] += picture.mode == "RGB" and facts.width > 0
        except UnreadablePicture as error:
            sentence = str(error)
            met["sentences"] += sentence.startswith("these bytes: ") and "\n" not in sentence and len(sentence) < 400
        slowest = max(slowest, time.perf_counter() - started)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return dict(met) | {"slowest": slowest, "grown": grown}


def test_every_format_is_read_whole() -> None:
    for name, data in every_format().items():
        picture, facts = read_picture(data)
        assert picture.mode == "RGB", name
        assert picture.size == (facts.width, facts.height), name


def test_damaged_files_are_pictures_or_one_sentence() -> None:
    code = (
        "import json, warnings; warnings.simplefilter('ignore'); from tests.property.test_picture_fuzz import *; "
        f"print(json.dumps(read_damaged({DAMAGED})))"
    )
    environment = {"DEEPHASH_DECODE_MIB": str(LIMIT_MIB), "PATH": "/usr/bin"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    met = json.loads(ran.stdout.splitlines()[-1])
    assert met["pictures"] + met["sentences"] == DAMAGED, met
    assert met["pictures"] > 1000, "damage that leaves nothing to decode tests little"
    assert met["slowest"] < SLOWEST
    assert met["grown"] < 4 * LIMIT_MIB, "MiB"


def test_no_odd_exif_block_loses_a_picture_or_its_orientation() -> None:
    upright = np.zeros((24, 16, 3), np.uint8)
    upright[:8], upright[8:, :8], upright[8:, 8:] = 255, (200, 40, 40), (40, 40, 200)
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposes of Pillow that the camera "did"
    stored = {
        number: Image.fromarray(upright).transpose(Image.Transpose(undone[number])) if number in undone
        else Image.fromarray(upright)
        for number in range(10)
    }  # fmt: skip
    draw, taken = random.Random(1), 0
    for number in range(EXIF_BLOCKS):
        orientation = number % 10
        data = jpeg_with_exif(stored[orientation], odd_exif(draw, orientation))
        picture, facts = read_picture(data)
        assert picture.size == (facts.width, facts.height) == (16, 24), orientation
        assert np.abs(np.asarray(picture, int) - upright).mean() < 20, orientation
        taken += 1
    assert taken == EXIF_BLOCKS


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG", "TIFF"])
def test_random_bytes_as_exif_lose_no_picture(form: str) -> None:
    import io

    draw, picture = random.Random(2), Image.new("RGB", (9, 6), (200, 40, 40))
    for number in range(100):
        block = odd_exif(draw, 6) if number % 2 else draw.randbytes(draw.randrange(200))
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                picture.save(file, form, exif=b"Exif\0\0" + block)
            except Exception:  # what cannot be written is no case
                continue
        assert read_picture(file.getvalue())[0].mode == "RGB"
