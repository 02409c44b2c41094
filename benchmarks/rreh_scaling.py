"""RREH is linear in the number of items: fit time at 2n over fit time at n, and a fit of 100,000 items.

    OMP_NUM_THREADS=1 python benchmarks/rreh_scaling.py [--large]

The ratio is measured in one run (median of three fits a size, 10 rounds, a tenth of the items paired), in seconds of
processor time, so that other work on the machine hardly changes it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deephash.backbones import Backbone
from deephash.models import RREH
from tests.cross_modal_toy import half_paired, two_views


def fit_seconds(count: int, sweeps: int = 10) -> float:
    image, text, _ = two_views(0, count=count)
    table = half_paired(image.float(), text.float(), 0.1)
    model = RREH(32, Backbone("features:256"), Backbone("features:160"))
    start = time.process_time()
    model.fit(table, max_sweeps=sweeps, tolerance=0.0)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also fit 100,000 items")
    options = parser.parse_args()
    fit_seconds(4000, sweeps=2)  # warms the linear algebra up
    small, double = (median(fit_seconds(count) for _ in range(3)) for count in (10_000, 20_000))
    print(f"n = 10,000: {small:.2f} s   n = 20,000: {double:.2f} s   ratio {double / small:.2f} (at most 2.3)")
    if options.large:
        seconds = fit_seconds(100_000, sweeps=30)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"n = 100,000, 30 rounds: {seconds:.1f} s, peak memory {peak:.1f} GiB")
    sys.exit(0 if double <= 2.3 * small else 1)


if __name__ == "__main__":
    main()
