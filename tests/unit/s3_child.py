"""A writer on another machine, to be killed: it has a cache of its own, and appends for ever."""

from __future__ import annotations

import sys

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.stored import lease


def main(address: str) -> None:
    lease.LASTS = 1.0
    collection, count = Collection.open(address), 0
    while True:
        uris = [f"child-{count}-{row}" for row in range(20)]
        count += 1
        ids = collection.append(uris=uris, codes=BinaryCodes(np.zeros((20, 8), np.uint8), 64))
        print(*ids.tolist(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
