"""What ``kind=ivf`` of a Milvus server finds and costs, beside its exact kind, on one server in one run.

    python -m benchmarks.milvus_recall --rows 100000 --bits 64

Codes are signs of random projections of a Gaussian mixture of 2,000 centres (seed 0), as learned codes have clusters.
Recall counts distances, not ids: a neighbour at the distance of the tenth is as good as the tenth. Queries are 200 of
the codes with an eighth of their bits turned. The server is the standalone one of the package ``milvus``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from pymilvus import MilvusClient

from benchmarks.search_data import clustered_codes
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.milvus_push import Pusher
from deephash.index import open_index
from deephash.index.milvus import MilvusAddress
from tests.milvus.server import Server

QUERIES, K = 200, 10
PROBES = (1, 4, 16, 64)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--lists", type=int, default=1024)
    given = parser.parse_args()
    codes = clustered_codes(given.rows, given.bits)
    asking = noisy(codes[np.random.default_rng(1).choice(len(codes), QUERIES, replace=False)])
    exact = open_index("scan", np.arange(len(codes)), codes).search(asking, K).distances
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Collection.create(folder / "x.dh", num_bits=given.bits)
        for start in range(0, len(codes), 50_000):
            part = codes[np.arange(start, min(start + 50_000, len(codes)))]
            made.append(uris=[f"{start + row}" for row in range(len(part))], codes=part)
        (folder / "server").mkdir()
        server = Server(folder / "server")
        try:
            print(f"{given.rows:,} codes of {given.bits} bits, k = {K}, {QUERIES} queries one by one\n")
            print("| kind | recall@10 | ms a query | of flat |\n|---|---|---|---|")
            flat = asked(server, made, "", asking, exact)
            print(f"| flat | {flat[0]:.4f} | {flat[1]:.1f} | 1.00 |", flush=True)
            for nprobe in PROBES:
                words = f"?kind=ivf&num_lists={given.lists}&nprobe={nprobe}"
                recall, cost = asked(server, made, words, asking, exact)
                kind = f"ivf, {nprobe} of {given.lists} lists"
                print(f"| {kind} | {recall:.4f} | {cost:.1f} | {cost / flat[1]:.2f} |", flush=True)
        finally:
            server.close()


def asked(
    server: Server, collection: Collection, words: str, asking: BinaryCodes, exact: np.ndarray
) -> tuple[float, float]:
    """Return recall and the median milliseconds of a query."""
    pusher = Pusher(collection, MilvusAddress.parse(f"milvus:{server.uri}/recall{words}"))
    pusher.push()
    sealed(server)
    index = pusher.open(collection.current)
    index.search(asking[:1], K)
    found, times = [], []
    for row in range(len(asking)):
        began = time.perf_counter()
        found.append(index.search(asking[row : row + 1], K).distances[0])
        times.append(1000 * (time.perf_counter() - began))
    hits = [int((each <= limit[-1]).sum()) for each, limit in zip(found, exact)]
    return sum(hits) / (K * len(asking)), statistics.median(times)


def sealed(server: Server) -> None:
    """Let the server close its segments and build their indexes; rows of an open segment are looked at one by one."""
    client = MilvusClient(uri=server.uri)
    for name in client.list_collections():
        client.flush(name)
        for field in client.list_indexes(name):
            until = time.monotonic() + 120
            while client.describe_index(name, field)["pending_index_rows"] and time.monotonic() < until:
                time.sleep(0.2)
        client.release_collection(name)
        client.load_collection(name)
    client.close()


def noisy(codes: BinaryCodes) -> BinaryCodes:
    """Return the codes with an eighth of their bits turned."""
    bits = codes.bits()
    return BinaryCodes.from_bits(bits ^ (np.random.default_rng(2).random(bits.shape) < 0.125))


if __name__ == "__main__":
    main()
