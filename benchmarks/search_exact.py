"""``scan`` against Faiss IndexBinaryFlat: same codes, same threads, identical answers.

    python benchmarks/search_exact.py [--threads 1] [--bits 64 128 256] [--items 1000000] [--queries 100 1] [--k 10]

Faiss runs with its heap (its default) and with counting; the ratios are to the better of the two. ``scan`` is the
plain scan, ``pruned`` the one with pivot lists (exact as well; ``--no-prune`` leaves them out, as they take a while to
build). ``limit`` is the time of merely reading the codes, measured in the same run.
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
    parser.add_argument("--no-prune", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    print(f"{options.items:,} clustered codes, k={options.k}, {options.threads} thread(s); ms a query, medians")
    print(
        "| bits | queries | Faiss heap | Faiss counting | scan | ratio | pruned | ratio | read limit | scan / limit |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for bits in options.bits:
        one_length(bits, options)


def one_length(bits: int, options: argparse.Namespace) -> None:
    most = max(options.queries)
    codes = clustered_codes(options.items + most, bits)
    queries, codes = codes[:most], codes[most:]
    ids = np.arange(len(codes))
    ways = {"scan": open_index("scan", ids, codes, threads=options.threads, prune=False)}
    if not options.no_prune:
        ways["pruned"] = open_index("scan", ids, codes, threads=options.threads, prune=True)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes.packed)
    limit = 1000 * read_seconds(codes, options.threads)
    for number in options.queries:
        times = one_number(flat, ways, queries[:number], options)
        better = min(times["heap"], times["counting"])
        ours = " | ".join(f"{times[way]:.3f} | {better / times[way]:.1f}x" for way in ways)
        ours += " | - | -" * (2 - len(ways))
        against = f"{limit:.2f} | {times['scan'] / limit:.2f}" if number == 1 else "- | -"
        peers = f"{times['heap']:.3f} | {times['counting']:.3f}"
        print(f"| {bits} | {number} | {peers} | {ours} | {against} |", flush=True)
    for index in ways.values():
        print(f"<!-- {index.explain()} -->", flush=True)


def one_number(flat, ways: dict, queries, options: argparse.Namespace) -> dict[str, float]:
    """Return the milliseconds a query of Faiss and of each of our ways, once they were found to agree."""

    def faiss_way(heap: bool) -> tuple[np.ndarray, np.ndarray]:
        flat.use_heap = heap
        return flat.search(queries.packed, options.k)

    distances, rows = faiss_way(True)
    for index in ways.values():
        found = index.search(queries, options.k)
        assert np.array_equal(found.distances, distances), "answers differ"
        assert np.array_equal(found.ids, rows), "answers differ"
    timed = {"heap": lambda: faiss_way(True), "counting": lambda: faiss_way(False)}
    timed |= {name: lambda index=index: index.search(queries, options.k) for name, index in ways.items()}
    rounds = 7 if len(queries) > 1 else 21
    times = in_turn(timed, rounds=rounds, threads=options.threads)
    return {name: 1000 * each / len(queries) for name, each in times.items()}


if __name__ == "__main__":
    main()
