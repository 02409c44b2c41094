"""Two stages against exact float search: binary codes choose a shortlist, float16 vectors on disk order it.

    python benchmarks/search_two_stage.py [--items 1000000] [--dims 512] [--bits 512 256] [--queries 20] [--target 0.99]

Recall@10 is against IndexFlatIP over the same values in float32. The shortlist is chosen on other queries than it is
judged on.
The vectors of the second stage lie in a memory-mapped float16 file, as a collection's do.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import faiss
import numpy as np
from search_data import in_turn

from deephash.codes import BinaryCodes
from deephash.index import open_index
from deephash.index.rerank import search_two_stage
from deephash.index.verify import choose_shortlist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dims", type=int, default=512)
    parser.add_argument("--bits", type=int, nargs="+", default=[512, 256])
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--target", type=float, default=0.995)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder) / "vectors.npy")


def compare(options: argparse.Namespace, path: Path) -> None:
    flat, sample = mixture(options, path)
    vectors = np.load(path, mmap_mode="r")
    tuning, queries = sample[: options.queries], sample[options.queries :]
    _, truth = flat.search(queries, 10)
    ids = np.arange(options.items)
    print(f"{options.items:,} x {options.dims}-d clustered vectors, 1 thread; ms a query, median of 3")
    print("| codes | shortlist | recall@10 | two stages | IndexFlatIP | ratio |")
    print("|---|---|---|---|---|---|")
    for bits in options.bits:
        directions = np.linalg.qr(np.random.default_rng(5).standard_normal((options.dims, options.dims)))[0][:, :bits]
        codes = BinaryCodes.concatenate(
            [BinaryCodes.from_continuous(vectors[first : first + 50_000] @ directions) for first in ids[::50_000]]
        )
        index = open_index("scan", ids, codes, threads=1, prune=False)
        encode = lambda floats, directions=directions: BinaryCodes.from_continuous(floats @ directions)  # noqa: E731
        choice = choose_shortlist(
            index, encode(tuning), tuning, ids, lambda rows: vectors[rows], target=options.target, metric="inner"
        )
        two_stage = lambda index=index, encode=encode, choice=choice: search_two_stage(  # noqa: E731
            index, encode(queries), queries, lambda rows: vectors[rows], 10, shortlist=choice.length, metric="inner"
        )
        found = two_stage().ids
        recall = np.mean([np.isin(one, two).mean() for one, two in zip(truth, found, strict=True)])
        times = in_turn({"ours": two_stage, "flat": lambda: flat.search(queries, 10)}, 3)
        ours, peer = (1000 * times[name] / len(queries) for name in ("ours", "flat"))
        print(
            f"| {bits} bits | {choice.length} | {recall:.3f} | {ours:.2f} | {peer:.1f} | {peer / ours:.0f}x |",
            flush=True,
        )


def mixture(options: argparse.Namespace, path: Path) -> tuple[faiss.IndexFlatIP, np.ndarray]:
    """Write the vectors as float16; return the float index over the same values, and query vectors."""
    random = np.random.default_rng(0)
    middles = random.standard_normal((2000, options.dims), dtype=np.float32)
    flat = faiss.IndexFlatIP(options.dims)
    table = np.lib.format.open_memmap(path, "w+", np.float16, (options.items, options.dims))

    def draw(number: int) -> np.ndarray:
        noise = random.standard_normal((number, options.dims), dtype=np.float32)
        points = middles[random.integers(0, 2000, number)] + 0.5 * noise
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    for first in range(0, options.items, 50_000):
        table[first : first + 50_000] = draw(min(50_000, options.items - first))
        flat.add(table[first : first + 50_000].astype(np.float32))
    table.flush()
    return flat, draw(2 * options.queries)


if __name__ == "__main__":
    main()
