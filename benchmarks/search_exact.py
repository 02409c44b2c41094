"""``scan`` against Faiss IndexBinaryFlat: same codes, same threads, identical answers.

    python benchmarks/search_exact.py [--threads 1] [--bits 64 128 256] [--items 1000000] [--queries 100 1] [--k 10]

Faiss runs with its heap (its default) and with counting; the ratio is to the better of the two. ``limit`` is the time
of merely reading the codes, measured in the same run.
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np
from search_data import clustered_codes, in_turn, read_seconds

from deephash.index import open_index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bits", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[100, 1])
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--prune", action="store_true", help="with pivot lists (exact as well)")
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    print(f"{options.items:,} clustered codes, k={options.k}, {options.threads} thread(s); ms a query, median of 7")
    print("| bits | queries | Faiss heap | Faiss counting | scan | ratio to the better | read limit | scan / limit |")
    print("|---|---|---|---|---|---|---|---|")
    for bits in options.bits:
        one_length(bits, options)


def one_length(bits: int, options: argparse.Namespace) -> None:
    most = max(options.queries)
    codes = clustered_codes(options.items + most, bits)
    queries, codes = codes[:most], codes[most:]
    index = open_index("scan", np.arange(len(codes)), codes, threads=options.threads, prune=options.prune)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes.packed)
    limit = read_seconds(codes, options.threads)
    for number in options.queries:
        some = queries[:number]

        def faiss_way(heap: bool, some=some) -> tuple[np.ndarray, np.ndarray]:
            flat.use_heap = heap
            return flat.search(some.packed, options.k)

        found, (distances, rows) = index.search(some, options.k), faiss_way(True)
        assert np.array_equal(found.distances, distances), "answers differ"
        assert np.array_equal(found.ids, rows), "answers differ"
        times = in_turn(
            {
                "heap": lambda: faiss_way(True),
                "counting": lambda: faiss_way(False),
                "scan": lambda some=some: index.search(some, options.k),
            },
            threads=options.threads,
        )
        heap, counting, scan = (1000 * times[name] / number for name in ("heap", "counting", "scan"))
        better = min(heap, counting)
        against = f"{1000 * limit:.2f} | {scan / (1000 * limit):.2f}" if number == 1 else "- | -"
        peers = f"{heap:.3f} | {counting:.3f}"
        print(f"| {bits} | {number} | {peers} | {scan:.3f} | {better / scan:.1f}x | {against} |", flush=True)
    print(f"<!-- {index.explain()} -->")


if __name__ == "__main__":
    main()
