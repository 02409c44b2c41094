"""Radius search: ``scan`` (with its band tables and pivot lists) against Faiss flat and MultiHash, at every radius.

python benchmarks/search_radius.py [--threads 1] [--items 1000000] [--queries 100]
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np
from search_data import clustered_codes, in_turn, random_codes

from deephash.codes import BinaryCodes
from deephash.index import open_index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--radii", type=int, nargs="+", default=list(range(9)))
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    for name, make in (("clustered", clustered_codes), ("random", random_codes)):
        codes = make(options.items + options.queries, 64)
        what = f"{options.items:,} {name} codes of 64 bits, {options.queries} queries"
        print(f"\n{what}, {options.threads} thread(s); us a query, median of 7")
        print("| radius | answers a query | Faiss flat | Faiss MultiHash 4x16 | scan | best peer / scan | way |")
        print("|---|---|---|---|---|---|---|")
        compare(near_queries(codes, options.queries), codes[options.queries :], options)


def near_queries(codes: BinaryCodes, number: int) -> BinaryCodes:
    """Return queries with two flipped bits, half of them copies of items, so that every radius finds something."""
    bits = codes[: 2 * number : 2].bits() if len(codes) >= 2 * number else codes[:number].bits()
    random = np.random.default_rng(1)
    for row in bits:
        row[random.choice(64, 2, replace=False)] ^= True
    return BinaryCodes.from_bits(bits)


def compare(queries: BinaryCodes, codes: BinaryCodes, options: argparse.Namespace) -> None:
    index = open_index("scan", np.arange(len(codes)), codes, threads=options.threads)
    index.warm()
    flat, multi = faiss.IndexBinaryFlat(64), faiss.IndexBinaryMultiHash(64, 4, 16)
    flat.add(codes.packed)
    multi.add(codes.packed)
    for radius in options.radii:
        multi.nflip = radius // 4  # complete within 4 (nflip + 1) - 1
        found = index.search_radius(queries, radius)
        same_answers(found, flat.range_search(queries.packed, radius + 1))
        same_answers(found, multi.range_search(queries.packed, radius + 1))
        times = in_turn(
            {
                "flat": lambda radius=radius: flat.range_search(queries.packed, radius + 1),
                "multi": lambda radius=radius: multi.range_search(queries.packed, radius + 1),
                "scan": lambda radius=radius: index.search_radius(queries, radius),
            },
            threads=options.threads,
        )
        peer_flat, peer_multi, scan = (1e6 * times[name] / len(queries) for name in ("flat", "multi", "scan"))
        answers = np.mean([len(each) for each in found])
        way = index.explain().split("last: ")[1]
        print(
            f"| {radius} | {answers:.1f} | {peer_flat:.1f} | {peer_multi:.1f} | {scan:.1f} | "
            f"{min(peer_flat, peer_multi) / scan:.1f}x | {way} |",
            flush=True,
        )


def same_answers(found: list, theirs: tuple) -> None:
    limits, _, rows = theirs
    for answer, start, stop in zip(found, limits[:-1].astype(int), limits[1:].astype(int), strict=True):
        assert np.array_equal(np.sort(answer.ids), np.sort(rows[start:stop])), "answers differ"


if __name__ == "__main__":
    main()
