"""Decoding takes no more memory than is stated, in one thread or in many, whatever a file's header promises."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.errors import UnreadablePicture, UsageError
from deephash.pictures import open_picture, read_file, read_picture
from deephash.pictures.decode_budget import BUDGET, LARGE, MIB, DecodeBudget, decode_limit
from tests.paths import ROOT


def flat_png(width: int, height: int, colour: int = 2) -> bytes:
    """Return a PNG of one colour (kind 2: RGB, 0: grey) without ever holding its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    packer, line = zlib.compressobj(1), b"\0" + b"\xc8" * (width * (3 if colour == 2 else 1))
    body = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def in_a_process(code: str, **environment: str) -> str:
    """Run code that may use ``rss()`` (peak bytes since ``begin()``) and ``limit(bytes)`` (of further addresses)."""
    head = (
        "import io, resource, sys, threading\n"
        "from pathlib import Path\n"
        "from deephash.pictures import *\n"
        "from deephash.pictures import decoding, decode_budget\n"
        "def kib(key): return int(next(x for x in open('/proc/self/status') if x.startswith(key)).split()[1]) * 1024\n"
        "def begin():\n"
        "    global start\n"
        "    open('/proc/self/clear_refs', 'w').write('5')\n"
        "    start = kib('VmRSS')\n"
        "def rss(): return kib('VmHWM') - start\n"
        "def limit(more): resource.setrlimit(resource.RLIMIT_AS, (kib('VmSize') + more,) * 2)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + code],
        cwd=ROOT, env={"PATH": "/usr/bin", **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PNG of 119 million pixels in less than 2 MB."""
    file = tmp_path_factory.mktemp("bomb") / "bomb.png"
    file.write_bytes(flat_png(10_909, 10_909))
    assert file.stat().st_size < 2_000_000
    return file


needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")


@needs_proc
@pytest.mark.parametrize("reduced_to", [8, 224, 400])
def test_a_picture_of_119_million_pixels_stays_within_the_limit(bomb: Path, reduced_to: int) -> None:
    code = (
        f"begin(); limit(600 * 2**20); picture = open_picture({str(bomb)!r}, reduced_to=224); "
        "print(picture.size, picture.getpixel((9, 9)), rss() // 2**20)"
    ).replace("224", str(reduced_to))
    size, colour, grown = in_a_process(code).replace("(", "").split(")")
    side = int(size.split(",")[0])
    assert max(reduced_to, 340) <= side <= 448
    assert colour.strip() == "200, 200, 200"
    assert int(grown) <= 512


@needs_proc
def test_several_workers_share_the_limit(bomb: Path) -> None:
    code = (
        f"begin(); limit(1300 * 2**20); sizes = []\n"
        f"def work(): sizes.append(open_picture({str(bomb)!r}, reduced_to=224).size)\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(len(sizes), rss() // 2**20)"
    )
    count, grown = map(int, in_a_process(code).split())
    assert count == 3
    assert grown <= 512 + 32


@needs_proc
def test_a_bomb_is_refused_before_its_pixels_are_decoded(bomb: Path) -> None:
    code = (
        "from deephash.errors import UnreadablePicture\nbegin()\n"
        f"try: open_picture({str(bomb)!r}, reduced_to=224)\n"
        "except UnreadablePicture as error: print(rss() // 2**20, error)"
    )
    grown, sentence = in_a_process(code, DEEPHASH_DECODE_MIB="100").split(" ", 1)
    assert int(grown) < 20
    assert sentence.startswith(f"{bomb}: 10909 x 10909 pixels take about ")
    assert "more than the limit of 100 MiB; shrink it, or raise the limit: DEEPHASH_DECODE_MIB=512" in sentence


def test_a_bomb_of_169_million_pixels_is_refused_with_the_sentence() -> None:
    with pytest.raises(UnreadablePicture, match=r"13000 x 13000 pixels take about .* DEEPHASH_DECODE_MIB=1024"):
        open_picture(flat_png(13_000, 13_000)[:5000], reduced_to=224)


def test_a_jpeg_of_200_million_pixels_is_read_reduced() -> None:
    """Phones take them; Pillow's own limit refuses them before they can be reduced."""
    file = io.BytesIO()
    Image.new("L", (16_320, 12_240), 99).save(file, "JPEG", quality=20)
    picture, facts = read_picture(file.getvalue(), reduced_to=224)
    assert (facts.width, facts.height) == (16_320, 12_240)
    assert picture.size == (2040, 1530)


def test_large_pictures_of_other_formats_are_reduced_like_a_mean() -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (282, 282, 3), np.uint8))
    for mode in ("RGB", "RGBA", "L"):
        side = 4230 if mode != "L" else 8460  # a little more than 64 MiB
        large = small.convert(mode).resize((side, side), Image.Resampling.NEAREST)
        file = io.BytesIO()
        large.save(file, "PNG", compress_level=1)
        assert side * side * (1 if mode == "L" else 4) > LARGE
        picture, facts = read_picture(file.getvalue(), reduced_to=282)
        assert (facts.width, facts.height) == (side, side)
        assert picture.size == (282, 282)
        assert (np.asarray(picture) == np.asarray(small.convert(mode).convert("RGB"))).all()


FORMATS = {
    "PNG": {"compress_level": 1}, "JPEG": {}, "JPEG progressive": {"progressive": True, "subsampling": 0},
    "WEBP": {"method": 0}, "AVIF": {"speed": 10}, "JPEG2000": {}, "TIFF": {}, "BMP": {}, "PPM": {},
    "TIFF one strip": {"compression": "tiff_lzw", "strip_size": 1 << 30},
}  # fmt: skip


@needs_proc
@pytest.mark.parametrize("kind", FORMATS)
def test_no_decoder_takes_more_than_is_estimated(kind: str, tmp_path: Path) -> None:
    waves = np.sin(np.arange(1600)[:, None] / 90) + np.cos(np.arange(2000)[None] / 70)
    pixels = np.stack([waves * 60 + 120, waves.clip(-1, 1) * 90 + 100, waves * 30 + 90], 2).astype(np.uint8)
    file, form = tmp_path / "x", kind.split()[0]
    Image.fromarray(pixels).save(file, form, **FORMATS[kind])
    code = (
        f"data = Path({str(file)!r}).read_bytes(); decoding.formats(); begin(); opened = decoding.open_lazily(data)\n"
        "told = decode_budget.decoding_bytes(opened, data, opened.size); opened.load(); print(told, rss())"
    )
    told, taken = map(int, in_a_process(code).split())
    assert taken <= told + len(file.read_bytes()) + 4 * MIB
    assert told <= 25 * 1600 * 2000, "an estimate far above the truth refuses good pictures"


def test_of_a_long_strip_the_middle_is_handed_on() -> None:
    """Several threads may hold what was handed on, and reducing by the shorter side leaves a strip as it is."""
    strip = flat_png(90_000, 240)
    assert LARGE < 90_000 * 240 * 4
    picture, facts = read_picture(strip, reduced_to=224)
    assert (facts.width, facts.height) == (90_000, 240)
    assert picture.size == (16 * 240, 240)
    assert open_picture(strip).size == (90_000, 240)


@pytest.mark.posix
def test_a_forked_worker_starts_with_nothing_held() -> None:
    code = (
        "import os, signal\nfrom tests.unit.test_decode_budget import flat_png\n"
        "data = flat_png(900, 900)\n"
        "with decode_budget.BUDGET.hold(500 << 20, 'it'), decode_budget.BUDGET._freed:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(20); open_picture(data); os._exit(0)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert in_a_process(code).strip() == "0"


def test_an_icon_is_judged_by_the_pictures_in_it() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (32, 32)).save(file, "ICO", sizes=[(32, 32)])
    data, inner = file.getvalue(), flat_png(9_000, 9_000, 0)
    large = data[:14] + len(inner).to_bytes(4, "little") + (22).to_bytes(4, "little") + inner
    with pytest.raises(UnreadablePicture, match="the pictures of this icon take about"):
        open_picture(large)


def test_who_exceeds_the_limit_waits_and_nobody_waits_for_ever() -> None:
    budget, log = DecodeBudget(), []
    most, held = 0, 0
    guard = threading.Lock()

    def work(size: int) -> None:
        nonlocal most, held
        with budget.hold(size, "it"):
            with guard:
                held += size
                most = max(most, held)
            time.sleep(0.005)
            with guard:
                held -= size
        log.append(size)

    sizes = [(300 + 40 * number % 200) * MIB for number in range(12)] + [10 * MIB] * 12
    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(log) == len(sizes)
    assert most <= decode_limit()


def test_what_failed_gives_back_what_it_held() -> None:
    data = flat_png(400, 400)[:-50]
    for _ in range(50):
        with pytest.raises(UnreadablePicture):
            open_picture(data)
    assert BUDGET._held == 0


@pytest.mark.parametrize("text", ["much", "-5", "0", "1.5", "99999999999"])
def test_a_senseless_limit_is_a_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPHASH_DECODE_MIB", text)
    with pytest.raises(UsageError, match="DEEPHASH_DECODE_MIB is a whole number of MiB"):
        open_picture(flat_png(4, 4))


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPHASH_DECODE_MIB", "1")
    file = tmp_path / "x.jpg"
    with file.open("wb") as sparse:
        sparse.truncate(50 << 30)
    with pytest.raises(UnreadablePicture, match="larger than the 1 MiB that decoding may take"):
        read_file(file)
    with pytest.raises(UnreadablePicture, match=r"x\.jpg: the file is larger"):
        open_picture(file)


def test_a_lack_of_memory_is_the_pictures_own_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("deephash.pictures.decoding.to_rgb", failing)
    with pytest.raises(UnreadablePicture, match="there is not enough memory to decode it"):
        open_picture(flat_png(4, 4))
