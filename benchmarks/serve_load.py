"""Fifty users of one ``deephash serve`` beside fifty users of several over the same collection.

    python benchmarks/serve_load.py [--processes 2] [--users 50] [--items 10000] [--seconds 10] [--rounds 3]

Serves random 64-bit codes (searched by the id of an item, POST /api/search, k = 24) by one process, and by several of
which the first may write and the others are ``--read-only``; users take the ports in turn, as a round robin does, and
ask again as soon as they have their answer. Both sides take turns, ``--rounds`` times; medians are printed, with the
share of the cores that the users themselves take, since they run on this machine too. At the end of every round the
collection is changed by another process, and how long it takes until every server answers from it is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.scale import cpu_name
from deephash.codes import BinaryCodes
from deephash.collection import Collection

BITS, K = 64, 24
Figures = dict[str, float]


@contextmanager
def serving(path: Path, processes: int) -> Iterator[list[int]]:
    """Start servers over one collection, all but the first read-only; yields their ports when all are ready."""
    words = [sys.executable, "-m", "deephash", "serve", str(path), "--port", "0"]
    running = [
        subprocess.Popen([*words, *(["--read-only"] if place else [])], stderr=subprocess.PIPE, text=True)
        for place in range(processes)
    ]
    try:
        ports = [port_of(each) for each in running]
        for port in ports:
            wait_until_ready(port)
        yield ports
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait(30)


def port_of(server: subprocess.Popen[str]) -> int:
    """Read the address that a server says."""
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise RuntimeError("the server ended before it had a port")


def wait_until_ready(port: int) -> None:
    """Ask until the collection is loaded."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").read()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise RuntimeError("the server was not ready within a minute")


async def user(port: int, seed: int, items: int, until: float, taken: list[float]) -> None:
    """Ask one server, by one connection, again and again."""
    random = np.random.default_rng(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        body = urllib.parse.urlencode({"id": int(random.integers(items)), "k": K}).encode()
        begun = time.perf_counter()
        writer.write(
            b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n" % (port, len(body)) + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(length[1]))
        taken.append(time.perf_counter() - begun)
    writer.close()


async def crowd(ports: Sequence[int], users: int, items: int, seconds: float) -> list[float]:
    """Let all users ask at once; returns seconds of every answer."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(user(ports[n % len(ports)], n, items, until, taken) for n in range(users)))
    return taken


def loaded(ports: Sequence[int], users: int, items: int, seconds: float) -> Figures:
    """Measure one side."""
    asyncio.run(crowd(ports, users, items, 1))  # loops compiled, threads there
    begun, worked = time.perf_counter(), time.process_time()
    taken = asyncio.run(crowd(ports, users, items, seconds))
    passed, worked = time.perf_counter() - begun, time.process_time() - worked
    found = {f"p{share}, ms": 1000 * float(np.percentile(taken, share)) for share in (50, 95, 99)}
    cores = len(os.sched_getaffinity(0))
    return found | {
        "answers a second": len(taken) / passed,
        "cores' share of the users, %": 100 * worked / passed / cores,
    }


def ask(port: int, item: int) -> dict[str, object] | None:
    """Return the answer about one item, None where there is none such."""
    body = urllib.parse.urlencode({"id": item, "k": K}).encode()
    try:
        answer: dict[str, object] = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/search", body))
    except urllib.error.HTTPError:
        return None
    return answer


def seen(path: Path, ports: Sequence[int], number: int) -> float:
    """Append a row in this process; return seconds until every server finds it."""
    code = BinaryCodes(np.zeros((1, BITS // 8), np.uint8), BITS)
    item = int(Collection.open(path).append(uris=[f"new{number}.jpg"], codes=code)[0])
    begun = time.perf_counter()
    for port in ports:
        while ask(port, item) is None:
            if time.perf_counter() - begun > 30:
                raise RuntimeError(f"the server at port {port} does not see what was committed")
    return time.perf_counter() - begun


def main() -> None:
    """Make, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[int, list[Figures]] = {1: [], given.processes: []}
    load = Path("/proc/loadavg").read_text().split()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.dh"
        packed = np.random.default_rng(0).integers(0, 256, (given.items, BITS // 8), dtype=np.uint8)
        names = [f"{row}.jpg" for row in range(given.items)]
        Collection.create(path, num_bits=BITS).append(uris=names, codes=BinaryCodes(packed, BITS))
        for number in range(given.rounds):
            for processes, rounds in found.items():
                with serving(path, processes) as ports:
                    figures = loaded(ports, given.users, given.items, given.seconds)
                    figures["s until all see a commit"] = seen(path, ports, 2 * number + (processes > 1))
                    rounds.append(figures)
    print(f"{cpu_name()}; load before {load}; {given.users} users, {given.items:,} items of {BITS} bits, k = {K}, "
          f"{given.rounds} rounds of {given.seconds:g} s\n")  # fmt: skip
    print("| | " + " | ".join(f"{processes} process(es)" for processes in found) + " | ratio |\n|---|---|---|---|")
    for name in found[1][0]:
        one, several = (statistics.median(figures[name] for figures in rounds) for rounds in found.values())
        print(f"| {name} | {one:.4g} | {several:.4g} | {several / one:.2f} |")


if __name__ == "__main__":
    main()
