"""Put each method's measured row into its page docs/methods/NAME.md, from the finished runs of results_cifar10.py.

python benchmarks/method_pages.py --runs cifar10_methods.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from measured import spread, write_measured

PAGES = {
    "orthohash": ["OrthoHash"],
    "hashnet": ["HashNet (paper)", "HashNet (release)"],
    "dpsh": ["DPSH", "DPSH, centred features"],
    "dtsh": ["DTSH"],
    "greedyhash": ["GreedyHash", "GreedyHash-unsupervised"],
    "csq": ["CSQ"],
    "dpn": ["DPN"],
    "sdc": ["SDC (release)", "SDC (release_simclr)"],
    "cibhash": ["CIBHash"],
    "bihalf": ["BiHalf"],
    "tldr": ["TLDR, straight-through", "TLDR + ITQ"],
    "itq": ["ITQ"],
    "pca_sign": ["PCA-sign"],
    "lsh": ["LSH"],
}
PROTOCOLS = {"cifar10-i": "mAP@all", "cifar10-ii": "mAP@1000"}
BITS, SEEDS = (16, 32, 64), 3


def rows_of(methods: list[str], runs: list[dict[str, Any]]) -> str:
    """Return the table of one page, a row a method and protocol."""
    lines = [f"| | protocol | {' | '.join(f'{bits} bits' for bits in BITS)} |", "|---" * (len(BITS) + 2) + "|"]
    for method in methods:
        for dataset, metric in PROTOCOLS.items():
            own = [run for run in runs if (run["method"], run["dataset"]) == (method, dataset)]
            if own:
                cells = [spread([run["mAP"] for run in own if run["bits"] == bits], SEEDS) for bits in BITS]
                lines.append(f"| {method} | {dataset}, {metric} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Rewrite all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="--out of results_cifar10.py")
    parser.add_argument("--pages", type=Path, default=Path("docs/methods"))
    arguments = parser.parse_args()
    runs = [json.loads(line) for line in arguments.runs.read_text().splitlines()]
    for page, methods in PAGES.items():
        write_measured(arguments.pages / f"{page}.md", rows_of(methods, runs))


if __name__ == "__main__":
    main()
