"""Which codes were seen before: Bloom filters (dedup --stream) beside every pair within a radius (dedup).

python benchmarks/dedup_stream.py [--items 1000000] [--bits 256] [--rate 1e-4] [--kind uniform|clustered]

A tenth of the items are copies of an earlier one, 0 to 12 bits away; the exact way takes the radius that the filters
never miss, b - 1. Each way reads the codes from a file, in a process of its own whose peak memory is measured,
and CPU seconds of all its threads, which other work beside it does not change much.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from search_data import clustered_codes, random_codes

from deephash.codes import BinaryCodes
from deephash.index.dedup import near_pairs
from deephash.index.seen_stream import SeenStream, plan_bands

FARTHEST = 12
BATCH = 1 << 16


def planted(items: int, bits: int, kind: str) -> tuple[BinaryCodes, np.ndarray]:
    """Return codes in the order of a stream, and how far each is from the one it copies; -1 for no copy."""
    draw = np.random.default_rng(1)
    codes = (clustered_codes if kind == "clustered" else random_codes)(items, bits).packed.copy()
    far = np.where(draw.random(items) < 0.1, draw.integers(0, FARTHEST + 1, items), -1)
    far[0] = -1
    fresh = np.flatnonzero(far < 0)
    rows = np.flatnonzero(far >= 0)
    source = fresh[(draw.random(len(rows)) * np.searchsorted(fresh, rows)).astype(np.int64)]
    for distance in range(FARTHEST + 1):
        mine = far[rows] == distance
        table = BinaryCodes(codes[source[mine]], bits).bits()
        places = draw.random(table.shape).argpartition(max(distance, 1), axis=1)[:, :distance]
        table[np.arange(len(table))[:, None], places] ^= True
        codes[rows[mine]] = BinaryCodes.from_bits(table).packed
    return BinaryCodes(codes, bits), far


def by_filters(file: Path, bits: int, rate: float) -> tuple[np.ndarray, float, float, float]:
    """Return which items were seen before, CPU seconds, peak MiB beyond the start, and bytes of the filters an item."""
    items = file.stat().st_size // (bits // 8)
    warm = SeenStream("benchmark", bits, 64, 0.5)
    warm.take(None, BinaryCodes(np.zeros((64, bits // 8), np.uint8), bits))  # compiles
    before, started = _peak(), time.process_time()
    state = SeenStream("benchmark", bits, items, rate)
    parts = []
    with file.open("rb") as stream:
        while len(block := np.fromfile(stream, np.uint8, BATCH * bits // 8)):
            parts.append(state.take(None, BinaryCodes(block.reshape(-1, bits // 8), bits)))
    kept = state.codes.arrays()["words"].nbytes / items
    return np.concatenate(parts), time.process_time() - started, _peak() - before, kept


def by_pairs(file: Path, bits: int, radius: int) -> tuple[np.ndarray, float, float, float]:
    """Return the same of every pair within ``radius``; an item needs its code."""
    few = BinaryCodes(np.zeros((64, bits // 8), np.uint8), bits)
    near_pairs(np.arange(64), few, radius)  # compiles
    before, started = _peak(), time.process_time()
    codes = BinaryCodes(np.fromfile(file, np.uint8).reshape(-1, bits // 8), bits)
    pairs = near_pairs(np.arange(len(codes)), codes, radius)
    seen = np.zeros(len(codes), bool)
    seen[pairs.second] = True
    return seen, time.process_time() - started, _peak() - before, bits / 8


def _peak() -> float:
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's, which made the codes
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--kind", choices=("uniform", "clustered"), default="uniform")
    parser.add_argument("--no-pairs", action="store_true", help="leave the exact way out")
    options = parser.parse_args()
    radius = plan_bands(options.bits, options.items, options.rate).bands - 1
    codes, far = planted(options.items, options.bits, options.kind)
    print(
        f"{options.items:,} {options.kind} codes of {options.bits} bits, {(far >= 0).sum():,} copies; asked for a rate "
        f"of {options.rate:g}: {radius + 1} bands, never missed up to {radius} bits\n"
    )
    heads = f"copies up to {radius} bits | {radius + 1} to {FARTHEST} bits | strangers flagged | items a CPU second"
    print(f"| | {heads} | peak memory, MiB | kept, bytes an item |\n|---|---|---|---|---|---|---|", flush=True)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "codes.bin"
        codes.packed.tofile(file)
        del codes
        ways = {"--stream": (by_filters, options.rate)}
        if not options.no_pairs:
            ways[f"every pair within {radius} bits"] = (by_pairs, radius)
        for name, (way, argument) in ways.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                seen, seconds, memory, kept = pool.submit(way, file, options.bits, argument).result()
            print(row(name, seen, far, radius, seconds, memory, kept), flush=True)


def row(name: str, seen: np.ndarray, far: np.ndarray, radius: int, seconds: float, memory: float, kept: float) -> str:
    """Return one line of the table."""
    near, beyond, strangers = (far >= 0) & (far <= radius), far > radius, far < 0
    cells = [f"{seen[part].sum():,} of {part.sum():,}" for part in (near, beyond, strangers)]
    return f"| {name} | {' | '.join(cells)} | {len(far) / seconds:,.0f} | {memory:,.0f} | {kept:.1f} |"


if __name__ == "__main__":
    main()
