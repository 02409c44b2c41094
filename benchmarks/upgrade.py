"""Claim: an upgrade of a million rows is published in seconds, and encoding them anew behind costs searches nothing.

    python benchmarks/upgrade.py [--rows 1000000] [--pictures 30000] [--seconds 6] [--rounds 5]

A collection of random 64-bit codes, the first PICTURES rows of which have a picture of 32 x 32 pixels. Publishing a
model of its own space and one of the same space is timed beside writing all codes anew in one commit, which it saves.
Then searches by item, fifty a second, are timed in alternating rounds: while ``upgrade --re-encode lazily`` works and
while it is stopped (SIGSTOP). The ratio of the two 95 % points counts; the slowest search of each is shown beside it.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PACE = 0.02  # seconds between two searches


def model(seed: int, bits: int = 64):
    import torch

    from deephash.backbones import Backbone
    from deephash.models import LSH

    torch.manual_seed(seed)
    return LSH(bits, Backbone("small_cnn:8", weights=None, image_size=32), centre=False).eval()


def make(folder: Path, rows: int, pictures: int) -> Path:
    from deephash.codes import BinaryCodes
    from deephash.collection import Collection
    from deephash.collection.folder import hash_of_file

    draw = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    names = [f"{row:07}.png" for row in range(rows)]
    for name in names[:pictures]:
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / "pictures" / name)
    hashes = [hash_of_file(folder / "pictures" / name) or "" for name in names[:pictures]]
    hashes += [""] * (rows - pictures)
    made = Collection.create(folder / "x.dh", num_bits=64, model=model(0), root=folder / "pictures")
    codes = BinaryCodes(draw.integers(0, 256, (rows, 8), dtype=np.uint8), 64)
    for start in range(0, rows, 250_000):
        part = slice(start, start + 250_000)
        made.append(uris=names[part], codes=codes[part], content_hashes=hashes[part])
    made.compact()
    return folder / "x.dh"


def timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def publishing(path: Path) -> None:
    from deephash.collection import Collection

    made = Collection.open(path)
    version = made.version
    own = timed(lambda: made.publish(model(1), same_space=False))
    made.restore(version)
    same = timed(lambda: made.publish(model(2), same_space=True))
    made.restore(version)
    ids, codes = made.codes()
    anew = timed(lambda: made.add_codes("copy", ids, codes))
    made.restore(version)
    print(f"publish in a space of its own  {own:8.2f} s")
    print(f"publish in the same space      {same:8.2f} s")
    print(f"write all codes anew           {anew:8.2f} s, without encoding a picture; ratio {anew / same:.1f}")


def searching(path: Path, seconds: float, rounds: int) -> None:
    from deephash.collection import Collection
    from deephash.search import Searcher

    Collection.open(path).publish(model(3), same_space=True)
    command = [sys.executable, "-m", "deephash.cli.main", "upgrade", str(path), "--re-encode", "now", "--gently"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while Collection.open(path).rows_by_model()[2] == 0:  # it imports, reads, and has committed for the first time
            assert worker.poll() is None, "encoding anew ended at once"
            time.sleep(0.5)
        searcher = Searcher.open(path)
        draw = np.random.default_rng(1)
        spent: dict[str, list[float]] = {"at work": [], "stopped": []}
        encoded = []
        for _ in range(rounds):
            for state, order in (("at work", signal.SIGCONT), ("stopped", signal.SIGSTOP)):
                os.kill(worker.pid, order)
                before = Collection.open(path).rows_by_model()[2]
                ends = time.perf_counter() + seconds
                while time.perf_counter() < ends:
                    item = int(draw.integers(len(searcher)))
                    spent[state].append(timed(lambda item=item: searcher.by_id(item, 24)))
                    time.sleep(PACE)
                encoded.append((state, Collection.open(path).rows_by_model()[2] - before))
        assert worker.poll() is None, "every picture was encoded before the end; give more --pictures"
    finally:
        os.kill(worker.pid, signal.SIGCONT)
        worker.kill()
        worker.wait()
    ends = {state: 1000 * np.percentile(values, [50, 95, 100]) for state, values in spent.items()}
    for state, (middle, high, worst) in ends.items():
        rows = sum(count for each, count in encoded if each == state)
        print(
            f"re-encoding {state:8} {len(spent[state]):6} searches  p50 {middle:6.2f}  p95 {high:6.2f}  "
            f"worst {worst:7.1f} ms  {rows:,} rows encoded"
        )
    print(f"ratio of p95, at work / stopped: {ends['at work'][1] / ends['stopped'][1]:.2f} (target 1.2)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pictures", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        path = make(Path(scratch), options.rows, options.pictures)
        publishing(path)
        searching(path, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
