"""Does HNSW lie on duplicated codes? Recall@10 of the raw graph, and of ours over unique codes, by items a code.

python benchmarks/search_duplicates.py [--items 50000]
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np
from search_data import clustered_codes

from deephash.errors import UsageError
from deephash.index import open_index
from deephash.index.measures import recall_by_distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=50_000)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"{options.items:,} items of 64 bits, M=16, efSearch=64, 200 queries; recall@10 by distance")
    print("| items a code | raw HNSW | raw HNSW: answers missing | over unique codes |")
    print("|---|---|---|---|")
    for copies in (1, 2, 10, 100, 1000):
        one_share(options.items, copies)


def one_share(items: int, copies: int) -> None:
    distinct = clustered_codes(items // copies, 64)
    codes = distinct[np.random.default_rng(0).permutation(np.arange(items) % len(distinct))]
    queries = clustered_codes(items + 200, 64)[items:]
    exact = open_index("scan", np.arange(items), codes).search(queries, 10).distances
    raw = faiss.IndexBinaryHNSW(64, 16)
    raw.hnsw.efSearch = 64
    raw.add(codes.packed)
    distances, rows = raw.search(queries.packed, 10)
    recall = recall_by_distance(np.where(rows < 0, 1 << 20, distances), exact)
    try:
        ours = open_index("faiss:hnsw", np.arange(items), codes, ef_search=64)
        answer = f"{recall_by_distance(ours.search(queries, 10).distances, exact):.3f}"
    except UsageError as refusal:
        answer = f"refused ({str(refusal).split('codes: ')[1].split(' on')[0]})"
    print(f"| {copies} | {recall:.3f} | {(rows < 0).mean():.3f} | {answer} |", flush=True)


if __name__ == "__main__":
    main()
