"""A small file of many pixels does not take the server's memory, however many visitors send one at once."""

import struct
import threading
import zlib
from pathlib import Path

import pytest

from deephash.pictures.decode_budget import decode_limit

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIDE = 10_900  # 119 million pixels
AROUND = 200 << 20  # tensors of the model, the request itself


def bomb(colour_type: int, channels: int) -> bytes:
    """Return a PNG of black pixels: some 450 kB."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(b"\0" * (1 + SIDE * channels)) for _ in range(SIDE)]
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", b"".join(rows) + packer.flush()), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def memory(name: str) -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not CLEAR.exists(), reason="the peak of a process is read from Linux's /proc")
def test_many_pixels_in_a_small_file_are_bounded_by_bytes(server):
    data = bomb(6, 4)
    assert len(data) < 500_000
    answers = []

    def send():
        with server.client() as client:
            answers.append(client.post("api/search", files={"picture": ("b.png", data)}).status_code)

    CLEAR.write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 415}
    assert memory("VmHWM") - before < decode_limit() + AROUND  # it was 1,750 MB for one of them
