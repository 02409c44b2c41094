"""How the costs grow with the rows: append, open, search, filter, update; a table of 100 million codes; a push.

    python benchmarks/scale.py [--rows 100000,1000000,10000000] [--big 100000000] [--memory 1GB] [--push 100000]

Every size is a collection of 64-bit codes with uris and one attribute (random codes, seed 0; commits of a million
rows), appended in one process and used in a fresh one. Printed are seconds on the clock, and of CPU (which other
programs on the machine disturb less), the resident memory, and how each cost grows: the slope in log-log coordinates,
and a + b N by relative least squares. ``--big`` codes lie in a file, with ids in another, and are searched twice: read
into memory, and memory-mapped under a limit (``--memory``, as RLIMIT_DATA: whatever is not a file's; the system refuses
more). ``--push`` rows go to a Milvus server that is started for it, where the package ``milvus`` is installed; the CPU
is that of this side. 0 leaves out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BITS, COMMIT, CHANGED, BATCH, REPEATS = 64, 1_000_000, 10_000, 64, 5
UNITS = {"MB": 10**6, "GB": 10**9}
Figures = dict[str, float]


def cpu_name() -> str:
    """Return what the system calls the processor, and how many of its cores may be used."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def memory_of(kind: str) -> float:
    """Return MB of this process: VmHWM (the most that was resident), RssAnon (what is no file's), ..."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1000


class Clock:
    """Seconds on the clock, and of CPU, by name."""

    def __init__(self) -> None:
        self.found: Figures = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a block; several of one name add up."""
        begun, worked = time.perf_counter(), time.process_time()
        yield
        self._add(name, time.perf_counter() - begun, time.process_time() - worked)

    def median(self, name: str, action: Callable[[], object]) -> None:
        """Time an action several times."""
        runs = []
        for _ in range(REPEATS):
            begun, worked = time.perf_counter(), time.process_time()
            action()
            runs.append((time.perf_counter() - begun, time.process_time() - worked))
        self._add(name, *(statistics.median(column) for column in zip(*runs)))

    def _add(self, name: str, seconds: float, worked: float) -> None:
        self.found[name] = self.found.get(name, 0) + seconds
        self.found[f"{name}, CPU"] = self.found.get(f"{name}, CPU", 0) + worked


# Collections ---------------------------------------------------------------------------------------


def chunk(first: int, count: int) -> dict[str, Any]:
    """Return what ``append`` takes."""
    from deephash.codes import BinaryCodes

    packed = np.random.default_rng(first).integers(0, 256, (count, BITS // 8), dtype=np.uint8)
    rows = range(first, first + count)
    return {
        "uris": [f"folder{row % 1000}/picture_{row:09}.jpg" for row in rows],
        "codes": BinaryCodes(packed, BITS),
        "attributes": [{"size": row % 1000} for row in rows],
    }


def measure_append(path: Path, rows: int) -> Figures:
    """Make a collection of ``rows`` rows."""
    from deephash.collection import Collection

    clock, collection = Clock(), Collection.create(path, num_bits=BITS)
    for first in range(0, rows, COMMIT):
        given = chunk(first, min(COMMIT, rows - first))
        with clock("append all"):
            collection.append(**given)
    held = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return clock.found | {"bytes a row on disk": held / rows, "MB, most while appending": memory_of("VmHWM")}


def measure_use(path: Path, rows: int) -> Figures:
    """Open a collection, search it, change it."""
    from deephash.codes import BinaryCodes
    from deephash.collection import Collection
    from deephash.index import open_index

    packed = np.random.default_rng(1).integers(0, 256, (BATCH, BITS // 8), dtype=np.uint8)
    queries, clock = BinaryCodes(packed, BITS), Clock()
    open_index("scan", np.arange(BATCH), queries).search(queries, 10)  # compiled, or read from Numba's cache
    with clock("open"):
        collection = Collection.open(path)
        index = open_index("scan", *collection.codes())
        index.search(queries[:1], 10)
    resident = memory_of("VmRSS")
    clock.median("one query", lambda: index.search(queries[:1], 10))
    clock.median(f"batch of {BATCH}", lambda: index.search(queries, 10))
    with clock("filter: 1 % of the rows found"):
        allowed = collection.matching("size >= 500 and size < 510")
    clock.median("filtered query", lambda: index.search(queries[:1], 10, allowed=allowed))
    changed = np.random.default_rng(2).choice(rows, CHANGED, replace=False)
    with clock(f"update {CHANGED:,} rows"):
        collection.update(changed, [{"size": 7}] * CHANGED)
    given = chunk(rows, CHANGED)
    with clock(f"append {CHANGED:,} more, in a new process"):
        collection.append(**given)
    with clock(f"remove {CHANGED:,} rows"):
        collection.remove(changed)
    return clock.found | {"MB, open": resident, "MB, most in use": memory_of("VmHWM")}


# A table of codes in a file ------------------------------------------------------------------------


def write_table(folder: Path, rows: int) -> None:
    """Write random codes and their ids as two ``.npy`` files, a part at a time."""
    codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.uint8, (rows, BITS // 8))
    ids = np.lib.format.open_memmap(folder / "ids.npy", "w+", np.int64, (rows,))
    random = np.random.default_rng(0)
    for first in range(0, rows, COMMIT):
        last = min(rows, first + COMMIT)
        codes[first:last] = random.integers(0, 256, (last - first, BITS // 8), dtype=np.uint8)
        ids[first:last] = np.arange(first, last)


def measure_table(folder: Path, mapped: bool) -> Figures:
    """Open, search, filter and change the table of :func:`write_table`."""
    from deephash.codes import BinaryCodes
    from deephash.index import open_index

    random, clock, mode = np.random.default_rng(1), Clock(), "r" if mapped else None
    queries = BinaryCodes(random.integers(0, 256, (BATCH, BITS // 8), dtype=np.uint8), BITS)
    open_index("scan", np.arange(BATCH), queries).search(queries, 10)
    with clock("open"):
        packed = np.load(folder / "codes.npy", mmap_mode=mode)
        ids = np.load(folder / "ids.npy", mmap_mode=mode)
        index = open_index("scan", ids, BinaryCodes(packed, BITS))
    with clock("first query"):
        index.search(queries[:1], 10)
    clock.median("one query", lambda: index.search(queries[:1], 10))
    with clock(f"batch of {BATCH}"):
        index.search(queries, 10)
    allowed = np.sort(random.choice(len(ids) // 100, len(ids) // 100, replace=False)) * 100
    clock.median("filtered query (1 % of the ids)", lambda: index.search(queries[:1], 10, allowed=allowed))
    fresh = BinaryCodes(random.integers(0, 256, (CHANGED, BITS // 8), dtype=np.uint8), BITS)
    with clock(f"append {CHANGED:,}"):
        index.add(np.arange(len(ids), len(ids) + CHANGED), fresh)
    found = index.search(fresh[:1], 1)
    assert (found.distances[0, 0], found.ids[0, 0]) == (0, len(ids))  # what was added is found
    clock.median("one query after it", lambda: index.search(queries[:1], 10))
    return clock.found | {"MB, most": memory_of("VmHWM"), "MB, no file's": memory_of("RssAnon")}


# A server ------------------------------------------------------------------------------------------


def measure_push(folder: Path, rows: int) -> Figures:
    """Push a collection to a server of its own, and search there."""
    from deephash.collection import Collection
    from deephash.collection.milvus_push import Pusher
    from deephash.index.milvus import MilvusAddress
    from tests.milvus.server import Server

    measure_append(folder / "pushed.dh", rows)
    collection, clock = Collection.open(folder / "pushed.dh"), Clock()
    (folder / "milvus").mkdir()
    server = Server(folder / "milvus")
    try:
        pusher = Pusher(collection, MilvusAddress.parse(f"milvus:{server.uri}/scale"))
        with clock(f"push {rows:,} rows"):
            pusher.push()
        with clock("push again, nothing new"):
            pusher.push()
        index, queries = pusher.open(collection.current), collection.codes()[1][:BATCH]
        index.search(queries[:1], 10)
        clock.median("one query", lambda: index.search(queries[:1], 10))
        clock.median(f"batch of {BATCH}", lambda: index.search(queries, 10))
    finally:
        server.close()
    return clock.found


# Printing ------------------------------------------------------------------------------------------


def in_a_process(what: str, folder: Path, rows: int, limit: int | None = None) -> Figures:
    """Measure in a fresh process, under a limit of memory where one is given."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder), "--rows", str(rows)]

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, preexec_fn=limited)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def law(sizes: list[int], costs: list[float]) -> str:
    """Return the slope of log cost over log N, and a + b N fitted so that relative errors count."""
    if len(sizes) < 2 or min(costs) <= 0:
        return ""
    slope = np.polyfit(np.log(sizes), np.log(costs), 1)[0]
    rows = np.array(sizes, float)
    (start, each), *_ = np.linalg.lstsq(
        np.stack([np.ones(len(rows)), rows], 1) / np.array(costs)[:, None], np.ones(len(rows))
    )
    return f"N^{slope:.2f} | {start:.3g} + {1e9 * each:.3g}e-9 N"


def told(cost: float, name: str) -> str:
    """Return a figure as a cell."""
    return f"{cost:,.0f}" if name.startswith(("MB", "bytes")) else f"{cost:.4g}"


def grown(folder: Path, sizes: list[int]) -> None:
    """Measure and print collections of several sizes."""
    found: dict[int, Figures] = {}
    for rows in sizes:
        found[rows] = in_a_process("append", folder, rows)
        found[rows] |= in_a_process("use", folder, rows)
        print(f"{rows:,} rows done", file=sys.stderr, flush=True)
    print("| seconds | " + " | ".join(f"{rows:,}" for rows in sizes) + " | slope | a + b N |")
    print("|---" * (len(sizes) + 3) + "|")
    for name in found[sizes[0]]:
        costs = [found[rows][name] for rows in sizes]
        cells = [told(cost, name) for cost in costs]
        print(f"| {name} | " + " | ".join(cells) + f" | {law(sizes, costs) or ' | '} |", flush=True)


def big(folder: Path, rows: int, limit: int) -> None:
    """Measure and print one table in memory and memory-mapped."""
    write_table(folder, rows)
    ways = [in_a_process("table", folder, rows), in_a_process("mapped", folder, rows, limit)]
    print(f"\n| seconds, {rows:,} codes | in memory | memory-mapped, {limit / 1e6:,.0f} MB at most |\n|---|---|---|")
    for name in ways[0]:
        print(f"| {name} | " + " | ".join(told(way[name], name) for way in ways) + " |", flush=True)


def number_of_bytes(text: str) -> int:
    """Read e.g. ``1GB``."""
    return int(float(text[:-2]) * UNITS[text[-2:].upper()])


def measured(what: str, folder: Path, rows: int) -> Figures:
    """Run one measurement in this process."""
    path = folder / f"{rows}.dh"
    if what in ("append", "use"):
        return {"append": measure_append, "use": measure_use}[what](path, rows)
    return measure_push(folder, rows) if what == "push" else measure_table(folder, what == "mapped")


def main() -> None:
    """Measure everything, or one thing in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000,10000000")
    parser.add_argument("--big", type=int, default=100_000_000)
    parser.add_argument("--memory", type=number_of_bytes, default=10**9)
    parser.add_argument("--push", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(each) for each in given.rows.split(",") if int(each)]
    if given.measure:
        print(json.dumps(measured(given.measure, given.folder, sizes[0])))
        return
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"{cpu_name()}; load before {load}; {BITS} bits, k = 10, medians of {REPEATS} where a query is repeated\n")
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch)
        if sizes:
            grown(folder, sizes)
        if given.big:
            big(folder, given.big, given.memory)
        if given.push:
            print("\n| Milvus 2.3.5, standalone, on the same cores | seconds |\n|---|---|")
            for name, cost in in_a_process("push", folder, given.push).items():
                print(f"| {name} | {cost:.4g} |")


if __name__ == "__main__":
    main()
