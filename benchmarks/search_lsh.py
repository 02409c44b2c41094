"""The classic LSH web search on the digits of scikit-learn: quality against the share of the database looked at.

    python benchmarks/search_lsh.py

1,497 items and 300 queries, raw 64-d features centred; mAP@10 by label.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from deephash.codes import BinaryCodes
from deephash.index.lsh import LshIndex, compare_with_scan


def main() -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    features, labels = digits.data[order] - digits.data.mean(axis=0), digits.target[order]
    queries, query_labels = features[:300], labels[:300]
    items, item_labels = features[300:], labels[300:]
    directions = np.linalg.qr(np.random.default_rng(1).standard_normal((64, 64)))[0]
    codes = (BinaryCodes.from_continuous(queries @ directions), BinaryCodes.from_continuous(items @ directions))
    print(f"{len(items):,} digits, {len(queries)} queries, L = 8 tables, g = 12 functions")
    print(
        "| family | probes | share scanned | recall@10 | mAP@10 LSH | mAP@10 scan of floats | mAP@10 scan of 64 bits |"
    )
    print("|---|---|---|---|---|---|---|")
    for family in ("pstable", "hyperplane"):
        for probes in (0, 1, 2):
            index = LshIndex(np.arange(len(items)), items, family=family, tables=8, functions=12, probes=probes)
            report = compare_with_scan(index, queries, query_labels, item_labels, codes=codes)
            quality = f"{report.map_lsh:.4f} | {report.map_scan:.4f} | {report.map_binary_scan:.4f}"
            print(f"| {family} | {probes} | {report.share_scanned:.3f} | {report.recall:.3f} | {quality} |", flush=True)


if __name__ == "__main__":
    main()
