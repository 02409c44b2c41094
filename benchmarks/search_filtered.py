"""Filtered search at pass rates 1 .. 0.001 against the same search without a filter; answers checked against Faiss.

python benchmarks/search_filtered.py [--threads 1] [--items 1000000] [--bits 64] [--queries 100 1]
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np
from search_data import clustered_codes, in_turn

from deephash.index import AscendingIds, open_index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--queries", type=int, nargs="+", default=[100, 1])
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.99, 0.5, 0.3, 0.1, 0.03, 0.01, 0.001])
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    most = max(options.queries)
    codes = clustered_codes(options.items + most, options.bits)
    queries, codes = codes[:most], codes[most:]
    index = open_index("scan", np.arange(len(codes)), codes, threads=options.threads, prune=False)
    flat = faiss.IndexBinaryFlat(options.bits)
    flat.add(codes.packed)
    what = f"{options.items:,} clustered codes of {options.bits} bits"
    print(f"{what}, k=10, {options.threads} thread(s); ms a call, medians")
    print("| queries | pass rate | list | ratio | AscendingIds | ratio | prepared | ratio | Faiss, selector | way |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for number in options.queries:
        for rate in options.rates:
            one_rate(index, flat, queries[:number], rate, options.threads)


def one_rate(index, flat, queries, rate: float, threads: int) -> None:
    size = len(index)
    mask = np.random.default_rng(0).random(size) < rate
    allowed = np.flatnonzero(mask)
    known, prepared = AscendingIds(allowed), index.prepare(allowed)
    bits = np.packbits(mask, bitorder="little")
    params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(size, faiss.swig_ptr(bits)))
    distances, rows = flat.search(queries.packed, 10, params=params)
    for way in (allowed, known, prepared):
        found = index.search(queries, 10, allowed=way)
        assert np.array_equal(found.ids, rows), "answers differ"
        assert np.array_equal(found.distances, distances), "answers differ"
    times = in_turn(
        {
            "none": lambda: index.search(queries, 10),
            "faiss": lambda: flat.search(queries.packed, 10, params=params),
            "ids": lambda: index.search(queries, 10, allowed=allowed),
            "ascending": lambda: index.search(queries, 10, allowed=known),
            "prepared": lambda: index.search(queries, 10, allowed=prepared),
        },
        rounds=15 if len(queries) > 10 else 301,
        threads=threads,
    )
    ours = [f"{1000 * times[way]:.2f} | {times[way] / times['none']:.2f}" for way in ("ids", "ascending", "prepared")]
    index.search(queries, 10, allowed=known)
    way = index.explain().split("last: ")[1]
    print(f"| {len(queries)} | {rate} | {' | '.join(ours)} | {1000 * times['faiss']:.2f} | {way} |", flush=True)


if __name__ == "__main__":
    main()
